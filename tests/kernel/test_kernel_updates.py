"""What a growing reply shows goes past the wait of ipykernel's publisher, and past nothing else."""

from __future__ import annotations

from glm_server import FakeGLM

from chatglm_magic._magics.updates import QuickUpdates, quick

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


def test_only_ipykernel_s_own_publisher_is_gone_past(kernel):
    """Another shell's publisher, and one that somebody has wrapped, shows all itself."""

    class Other:
        """Shows outputs elsewhere."""

        _hooks = ()

    other = Other()
    assert quick(other) is other

    class Known:
        """Shows outputs as ipykernel's does."""

        _hooks = ()
        clear_output = None

        def publish(self, *what: object, **how: object) -> None:
            """Show."""

    Known.publish.__module__ = "ipykernel.zmqshell"
    assert type(quick(Known())) is QuickUpdates
    Known.publish.__wrapped__ = print  # as functools.wraps leaves it
    wrapped = Known()
    assert quick(wrapped) is wrapped

    kinds = kernel.value(
        "(lambda quick, pub: [type(quick(pub)).__name__, setattr(pub, 'publish', pub.publish), "
        "type(quick(pub)).__name__, delattr(pub, 'publish')])"
        "(__import__('chatglm_magic._magics.updates', fromlist=['quick']).quick, get_ipython().display_pub)"
    )
    assert kinds == f"['{QuickUpdates.__name__}', None, 'ZMQDisplayPublisher', None]"
