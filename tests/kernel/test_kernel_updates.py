"""What a growing reply shows goes through ipykernel's own publisher, with its hooks and its order."""

from __future__ import annotations

from glm_server import FakeGLM

MANY = "".join(f"word{number} " for number in range(12))


def test_a_hook_of_the_user_sees_every_message(kernel, glm: FakeGLM):
    """Ipykernel lets hooks change and take what is shown; updates are no exception."""
    glm.say(MANY, delay=0.04)
    kernel.ok("seen = []; hook = lambda message: seen.append(message['header']['msg_type']) or message")
    kernel.ok("get_ipython().display_pub.register_hook(hook)")

    run = kernel.ok("%%chatglm\nCount")
    kernel.ok("get_ipython().display_pub.unregister_hook(hook)")
    seen = eval(kernel.value("seen"))  # noqa: S307 - our own repr
    kinds = {"display_data", "update_display_data", "clear_output"}
    sent = [message.type for message in run.messages if message.type in kinds]

    assert seen == sent
    assert sent.count("update_display_data") >= 3


def test_what_is_printed_keeps_its_order(kernel, glm: FakeGLM):
    """The reply's first output stands below what was printed before it, and its last one above what follows."""
    glm.say(MANY, delay=0.04)
    code = "print('before', end='')\n%chatglm Count\nprint('after')"

    run = kernel.ok(code)
    outputs = [output.get("text") or output["data"].get("text/markdown", "") for output in run.outputs]

    assert outputs[0] == "before"
    assert outputs[-1] == "after\n"
    assert "word11" in "".join(outputs[1:-1])
