"""The tree of what was said: one path, every version."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from chatglm_magic._conversation.conversation import Conversation
from chatglm_magic._conversation.message_node import MessageNode
from chatglm_magic._conversation.tree import MessageTree


def add_turn(tree: MessageTree, words: str) -> tuple[MessageNode, MessageNode]:
    """Put a question and its answer at the end of the path."""
    path = tree.path()
    question = MessageNode(role="user", text=words, parent=path[-1].id if path else "")
    answer = MessageNode(role="assistant", text=words.upper(), parent=question.id)
    tree.add(question)
    tree.add(answer)
    return question, answer


def another(tree: MessageTree, said: MessageNode, words: str) -> MessageNode:
    """Put another version beside a message."""
    version = MessageNode(role=said.role, text=words, parent=said.parent)
    tree.add(version)
    return version


def words(tree: MessageTree) -> str:
    return " ".join(said.text for said in tree.path())


def test_the_path_takes_what_was_added_last_or_chosen():
    """A new version is shown at once, the old one when it is chosen, with what followed it."""
    tree = MessageTree()
    _, answer = add_turn(tree, "a")
    add_turn(tree, "b")

    version = another(tree, answer, "A2")
    assert words(tree) == "a A2"
    assert tree.versions(answer) == [answer, version]
    tree.choose(answer)
    assert words(tree) == "a A b B"


def test_choosing_a_message_deep_in_a_branch_leads_the_path_there():
    """All versions above it are chosen with it."""
    tree = MessageTree()
    first, _ = add_turn(tree, "a")
    _, deep = add_turn(tree, "b")
    another(tree, first, "c")

    tree.choose(deep)

    assert words(tree) == "a A b B"


def test_what_followed_the_only_version_stays():
    """A turn in the middle is taken out, whichever of its two messages is removed."""
    for index in (0, 1):
        tree = MessageTree()
        add_turn(tree, "a")
        middle = add_turn(tree, "b")
        add_turn(tree, "c")

        gone = tree.remove(middle[index])

        assert gone == list(middle)
        assert words(tree) == "a A c C"


def test_what_followed_one_of_several_versions_goes_with_it():
    """The other version is shown then, with what followed that."""
    tree = MessageTree()
    first, answer = add_turn(tree, "a")
    add_turn(tree, "b")
    another(tree, answer, "A2")
    add_turn(tree, "c")

    tree.choose(answer)
    assert {said.text for said in tree.remove(answer)} == {"A", "b", "B"}
    assert words(tree) == "a A2 c C"
    edited = another(tree, first, "a2")
    tree.remove(edited)
    assert words(tree) == "a A2 c C"


def test_branches_behind_a_turn_stay_branches_when_it_is_taken_out():
    """The one that was shown is still shown, the other can still be chosen."""
    tree = MessageTree()
    middle, _ = add_turn(tree, "a")
    one, _ = add_turn(tree, "b")
    other = another(tree, one, "c")
    tree.choose(one)

    tree.remove(middle)

    assert words(tree) == "b B"
    assert tree.versions(one) == [one, other]


def test_what_followed_may_be_moved_behind_another_version():
    """The same words in the same order, behind another answer."""
    tree = MessageTree()
    _, answer = add_turn(tree, "a")
    add_turn(tree, "b")
    version = another(tree, answer, "A2")

    tree.move(tree.children(answer), version)

    assert words(tree) == "a A2 b B"
    assert tree.children(answer) == []


def test_a_message_whose_parent_is_unknown_stands_at_the_beginning():
    """A file that lost a message loses no other."""
    tree = MessageTree([MessageNode(role="user", text="a", parent="gone")])

    assert words(tree) == "a"


@given(st.data())
def test_a_tree_stays_whole_whatever_is_done_to_it(data):
    """No message is on the path twice, each stands behind its parent, and only what was removed is gone."""
    tree = MessageTree()
    kept: set[str] = set()
    for number in range(data.draw(st.integers(1, 12))):
        all_said = list(tree)
        what = data.draw(st.sampled_from(["ask", "ask", "version", "choose", "remove", "cut"]))
        if what == "ask" or not all_said:
            kept |= {said.id for said in add_turn(tree, f"q{number}")}
            continue
        said = data.draw(st.sampled_from(all_said))
        if what == "version":
            kept.add(another(tree, said, f"v{number}").id)
        elif what == "choose":
            tree.choose(said)
            assert said in tree.path()
        else:
            gone = {one.id for one in getattr(tree, what)(said)}
            assert said.id in gone
            kept -= gone

        path = tree.path()
        assert [one.parent for one in path] == ["", *(one.id for one in path)][: len(path)]
        assert {one.id for one in tree} == kept
        assert all(one in tree.versions(one) for one in tree)
        assert all(not one.parent or tree.get(one.parent) is not None for one in tree)
        assert not kept or path


@given(st.data())
def test_what_was_removed_can_be_brought_back_in_its_place(data):
    """The same path, versions in the same order and choices, whatever was chosen meanwhile; then nothing is left."""
    conversation = Conversation()
    tree = conversation.tree
    for number in range(data.draw(st.integers(1, 10))):
        all_said = list(tree)
        what = data.draw(st.sampled_from(["ask", "ask", "version", "choose"]))
        if what == "ask" or not all_said:
            add_turn(tree, f"q{number}")
        elif what == "version":
            another(tree, data.draw(st.sampled_from(all_said)), f"v{number}")
        else:
            tree.choose(data.draw(st.sampled_from(all_said)))
    before, path, chosen = list(tree), tree.path(), dict(tree.chosen)
    stood = [(one, one.parent, tree.versions(one), tree.children(one)) for one in before]

    gone = conversation.remove(data.draw(st.sampled_from(before)))
    if len(tree):
        tree.choose(data.draw(st.sampled_from(list(tree))))
    back = conversation.restore()

    assert {one.id for one in back} == {one.id for one in gone}
    assert (list(tree), tree.path(), tree.chosen) == (before, path, chosen)
    assert [(one, one.parent, tree.versions(one), tree.children(one)) for one in before] == stood
    assert conversation.restore() == []
