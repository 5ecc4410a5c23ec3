"""Chat: history in, events out."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Callable, Generator, Sequence
from contextlib import aclosing, asynccontextmanager, contextmanager, nullcontext, suppress
from typing import TYPE_CHECKING, Any, Literal, Self
from weakref import WeakSet

import msgspec

from ._attachments import Attachments
from ._comparison import Comparing
from ._conversation.cache import begin_replay, replay, request_key
from ._conversation.conversation import DEFAULT, InsertPoint, Turn, check_name, last_turns
from ._conversation.message_node import MessageNode
from ._credentials import NeverPickled
from ._errors import ChatGLMError, ConfigError, StoreError
from ._event_loops import FairLock, ticking
from ._events import Event
from ._extras import Extras
from ._language import tr
from ._messages import ChatOptions, Message, Request, check_prompt, content_of, limit_pictures
from ._redaction import StreamRedactor, refuse_keys, reply_redactor, without_keys
from ._reply import Reply
from ._resolve import Target, configured_options, resolve
from ._store import Store, Thread, open_store
from ._store.recorder import bring_back, find, keep, recorder_of, settings_of, stored_options
from .providers import Provider, UnavailableProvider, split_spec

if TYPE_CHECKING:
    from ._map.job import MapJob
    from ._map.setup import Plan

NOBODY = "nobody"
"""The name of the provider of a conversation in which nobody was asked yet."""

_WHO = frozenset({"provider", "model", "base_url"})
_open: WeakSet[Chat] = WeakSet()
"""The conversations of this process that were opened under a name."""


class Chat(NeverPickled, Comparing):
    """A conversation with a model.

    Args:
        provider: A provider's name (`auto`, `local`, `zai`, `bigmodel`, `openai`, `chatglm`) or a `Provider` object.
        name: The conversation's name. There is one `Chat` of a name in a process, whichever door it came in by:
            `Chat`, `Chat.open`, `%chatglm -c` or a panel. So this is the one that is open, with what is given here
            set; else the stored one of that name, which goes on; else a new one, which is kept in the store.
        api_key: The key; None to look for it in the environment and where `%chatglm login` keeps it.
        proxy: An http or https proxy.
        configured: What applies where nothing is given; None for `%config` where the magics are loaded, over the
            environment (`CHATGLM_PROVIDER`, `CHATGLM_MODEL`, `CHATGLM_BASE_URL`).
        options: The fields of `ChatOptions` (model, base_url, system, think, timeout, history_tokens, cache) and
            parameters of the model (temperature, top_p, max_tokens, seed, stop …).

    Attributes:
        messages: What has been said, oldest first, without the system prompt; well-formed at any
            moment: every question in it has its answer, a stopped one as far as it came. A list of
            one's own; to change the conversation, assign one.
        unanswered: The last question, and its insert point, if it failed before a word of its answer was in.
        options: The options of this conversation; assign others to change them.
        target: Who answers; assign another one to change it.
        follows_config: Whether cells have it answered as `%config` says, since nobody was named for it.

    Raises:
        ConfigError: Something is unknown or missing, see `resolve`; or no conversation may be called so.

    A `Chat` may be used from several event loops. Asked twice at once, the second question waits.
    """

    find_stored: Callable[[str], MessageNode | None] = staticmethod(lambda key: open_store().answer(key))
    """Return the stored answer to the request of a key; None where there is none. It must not fail."""
    target: Target
    options: ChatOptions
    follows_config: bool

    def __new__(cls, provider: str | Provider = "auto", *, name: str = "", **_: object) -> Self:  # noqa: ARG004 - see `__init__`
        """Return the open conversation of that name, if there is one."""
        found = open_chat(check_name(name)) if name else None
        return found if isinstance(found, cls) else super().__new__(cls)

    def __init__(
        self,
        provider: str | Provider = "auto",
        *,
        name: str = "",
        api_key: str | None = None,
        proxy: str = "",
        configured: ChatOptions | None = None,
        **options: object,
    ) -> None:
        configured = configured_options() if configured is None else configured
        own = ChatOptions.of(**options)
        before = self if self in _open else None
        if not isinstance(provider, str):
            target = Target(provider, own.model)
        elif before is not None and provider == "auto" and not (api_key or proxy):
            target = before.target_for(own)
        else:
            asked = msgspec.structs.replace(own, provider=provider)
            cached = bool(own.cache if own.cache is not None else configured.cache)
            target = resolve(asked, configured, api_key=api_key, proxy=proxy, cached=cached)
        is_named = provider != "auto" or bool(own.model or own.base_url or api_key or proxy)
        if before is not None:
            self.follows_config = self.follows_config and not is_named
            self.target, self.options = target, own.over(self.options).without_target()
            return
        super().__init__(check_name(name) if name else "")
        self.target = target
        self.options = own.over(configured).without_target()
        self.follows_config = not is_named
        self._lock = FairLock()
        if name:
            self._go_on_with_stored(own, configured)
            _open.add(self)
        if name or self.options.cache:
            keep(self)

    def _go_on_with_stored(self, own: ChatOptions, configured: ChatOptions) -> None:
        """Bring back what is stored under the conversation's name, if it can be read; who answers stays."""
        store = open_store()
        with suppress(StoreError):  # a question is asked all the same
            thread = store.find(self.name) if self.name != DEFAULT else None
            if thread is not None:
                bring_back(self, store, thread.id)
                self.options = own.over(stored_options(thread)).over(configured).without_target()

    @property
    def provider(self) -> Provider:
        """Who answers."""
        return self.target.provider

    @property
    def model(self) -> str:
        """The model that is asked; empty for the provider's default."""
        return self.target.model

    def target_for(self, asked: ChatOptions) -> Target:
        """Return who answers where options say so: whom they name, or another model of the conversation's provider.

        Raises:
            ConfigError: Nobody can be asked so.
        """
        named, model = split_spec(asked.model)
        named = named or asked.provider
        if asked.base_url or named not in {"", self.provider.name}:
            return resolve(asked)
        return Target(self.provider, model) if named or model else self._target_now()

    def _target_now(self) -> Target:
        """Return who answers; where nobody could be asked before, for want of a key perhaps, look once more."""
        if not isinstance(self.provider, UnavailableProvider):
            return self.target
        name = self.provider.name
        try:
            return resolve(ChatOptions(provider="" if name == NOBODY else name, model=self.model))
        except ConfigError as error:
            return Target(UnavailableProvider(NOBODY, error)) if name == NOBODY else self.target

    @classmethod
    def open(cls, name: str, *, store: str = "", **options: Any) -> Chat:  # noqa: ANN401 - passed on
        """Bring a stored conversation back; it goes on where it stopped, and is kept there.

        One that is open in this process is returned as it is, with the `options` set. Of another one, the provider
        that answered before answers again, with the same settings. Where that is not possible, for want of a key
        perhaps, the conversation can be read all the same; the next question says what is missing.

        Args:
            name: Its name, that of the one changed last where several have it; or its number, `#12`.
            store: The store's file; empty for the usual one.
            options: As in `Chat`, over what the conversation had.

        Raises:
            ConfigError: There is no such conversation, or nobody can be asked as `options` say.
            StoreError: The store cannot be read.
        """
        found = open_chat(name, store)
        if found is None or not found.tree:
            try:
                kept, thread = find(name, store)
            except ConfigError:
                if found is None:
                    raise
            else:
                known = open_chat(thread.id, store)
                if known is None or not known.tree:
                    return cls._brought_back(found or known, kept, thread, options)
                found = known
        cls.__init__(found, name=found.name, **options)
        return found

    @classmethod
    def _brought_back(cls, into: Chat | None, kept: Store, thread: Thread, options: dict[str, Any]) -> Chat:
        """Return a conversation with what is stored: one that is open and holds nothing, or a new one."""
        settings = settings_of(thread, options)
        try:
            made = cls(**settings)
        except ConfigError as error:
            if options.keys() & {*_WHO, "api_key", "proxy"}:
                raise
            rest = {given: value for given, value in settings.items() if given not in _WHO}
            made = cls(UnavailableProvider(thread.settings.get("provider", NOBODY), error), **rest)
            made.target = Target(made.provider, thread.settings.get("model", ""))
        chat = made if into is None else into
        chat.target, chat.options = made.target, made.options
        chat.follows_config = not options.keys() & {*_WHO, "api_key", "proxy"}
        bring_back(chat, kept, thread.id)
        if any(one.name == chat.name for one in open_chats(kept.where) if one is not chat):
            chat.name = f"{thread.name}-{thread.number}"
        _open.add(chat)
        return chat

    async def stream(
        self,
        prompt: str,
        options: ChatOptions | None = None,
        *,
        reply: Reply | None = None,
        target: Target | None = None,
        remember: bool = True,
        at: InsertPoint | None = None,
        notify: Callable[[str], None] | None = None,
        **fields: object,
    ) -> AsyncGenerator[Event]:
        """Ask, and yield the reply's events as they come.

        Close it with `contextlib.aclosing`: hanging up closes the connection at once. What had
        arrived by then is kept in `messages`.

        Args:
            prompt: The question.
            options: Options of this question, over those of the conversation.
            reply: Where the events are added up; what the caller keeps of a reply that fails.
            target: Who answers this question only.
            remember: False for a question that neither sees nor enters the conversation.
            at: Where the turn goes, if not to the conversation's end. It is asked with what was
                said before that point, and replaces what stands there once a word of the reply is in.
            notify: Called with one sentence that says why nothing has come yet.
            fields: Options by their names, over `options`; and `attachments`, what the question brings with it: one
                thing or a list of paths, https addresses, bytes, figures, pictures of Pillow's, arrays of pixels; files
                of text go into the prompt, as data. A question that is asked again in the place of itself
                (`at.instead_of`) keeps its own pictures unless others are given. `tools`, a list of functions that the
                model may ask for; `approve`, which is called with each call (its `name`, `arguments` and `doc`) before
                it runs and returns, perhaps as a coroutine, True, False, the reason why not, or a dictionary of changed
                arguments; and `chain_limit`, how often the model may ask. Without `approve` calls are handed back: the
                reply ends for the reason `tool_calls`. `search`, whether the service may search the web (Z.ai and
                BigModel). `schema`, what the answer has to be, as in `Schema.of`: it is `reply.value` then; and
                `repairs`, how often an answer that does not fit is sent back, with what is wrong with it.

        Raises:
            ChatGLMError: The reply failed; `.reply` holds what had arrived.
            SchemaError: No answer can be held to the schema; nothing was sent.
            ReplyFormatError: The answer does not fit the schema.
        """
        check_prompt(prompt)
        extras = self._extras(fields, at)
        prompt = extras.attached.added_to(prompt)
        asked = self._asked(options, fields)
        target = target or self.target_for(asked)
        reply = reply if reply is not None else Reply()
        reply.model = reply.model or target.model or getattr(target.provider, "model", "")
        reply.provider = target.provider.name
        reply.schema = extras.schema
        async with self._locked(reply, notify, remember=remember):
            request = self._request(prompt, asked, target, at, extras, remember=remember, warnings=reply.warnings)
            request = msgspec.structs.replace(request, notify=notify)
            key = request_key(target.provider, request)
            stored = self._stored(request, key, target, extras) if asked.cache else None
            if stored is not None:
                begin_replay(reply, stored)
                key = ""  # of an answer that is given again only the first one has one: its day is what counts
            turn = self.begin(prompt, reply, at, remember=remember, key=key, attachments=extras.attached.pictures)
            redactor = reply_redactor()
            with self._recorded(turn, reply, redactor):
                if stored is None:
                    stage = extras.around(target.provider.stream, target, reply)
                else:
                    stage = extras.around_stored(lambda _: replay(stored), reply)
                async with aclosing(stage(request)) as events:
                    async for sent in events:
                        for event in (sent,) if redactor is None else redactor.feed(sent):
                            reply.add(event)
                            self.notify_event(turn, event)
                            yield event

    async def send(self, prompt: str, options: ChatOptions | None = None, **how: Any) -> Reply:  # noqa: ANN401 - passed on
        """Ask, wait for the end, and return the reply.

        Args:
            prompt: The question.
            options: As in `stream`.
            how: As in `stream`.

        Raises:
            ChatGLMError: The reply failed; `.reply` holds what had arrived.
        """
        reply: Reply = how.pop("reply", None) or Reply()
        async with aclosing(self.stream(prompt, options, reply=reply, **how)) as events:
            async for _ in events:
                pass
        return reply

    def map(  # noqa: PLR0913 - promised to users
        self,
        prompt: str,
        over: object,
        options: ChatOptions | None = None,
        *,
        schema: object = None,
        limit: int | None = None,
        concurrency: int | Literal["auto"] = "auto",
        rows_per_request: int = 1,
        fresh: bool = False,
        client: object = None,
        target: Target | None = None,
        **fields: object,
    ) -> MapJob:
        """Ask one question of each of many rows; the job has begun: `rows = await job`, or `job.result()`.

        Rows see the conversation's system prompt and settings, neither its history nor each other, and do not enter it.
        Each answer is stored before it counts, and what is answered is not asked again, by whatever map. The arguments
        are described in `MapOptions`, `setup_of` and `stream`.

        Raises:
            ConfigError: Nobody can be asked so, there are no rows, or the prompt names what they do not have.
        """
        from ._map.job import begin

        how = {"schema": schema, "limit": limit, "rows_per_request": rows_per_request, "client": client}
        return begin(self, prompt, over, options, concurrency=concurrency, fresh=fresh, target=target, **how, **fields)

    def plan_map(self, prompt: str, over: object, options: ChatOptions | None = None, **how: Any) -> Plan:  # noqa: ANN401 - passed on
        """Return what `map` would do now, and send nothing; arguments as there.

        Raises:
            ConfigError: As in `map`; or the rows can be read only once.
        """
        from ._map.job import planned

        return planned(self, prompt, over, options, **how)

    def map_request(
        self, prompt: str, options: ChatOptions | None = None, *, target: Target | None = None, **fields: object
    ) -> tuple[Target, Request]:
        """Return who answers the rows of a map, and the request that asks its prompt as it stands; sends nothing.

        Raises:
            ConfigError: Nobody can be asked so.
        """
        check_prompt(prompt)
        asked = self._asked(options, fields)
        target = target or self.target_for(asked)
        return target, self._request(prompt, asked, target, None, Extras(), remember=False)

    def _side_chat(self, target: Target, messages: Sequence[Message]) -> Chat:
        """Return a conversation that has said the same, is not kept, and is answered by somebody else."""
        side = Chat(target.provider, configured=ChatOptions())
        side.target = target
        side.messages, side.find_stored = messages, self.find_stored
        return side

    def request(
        self,
        prompt: str,
        options: ChatOptions | None = None,
        *,
        target: Target | None = None,
        remember: bool = True,
        at: InsertPoint | None = None,
        **fields: object,
    ) -> Request:
        """Return what `stream` would send now, and send nothing.

        Args:
            prompt: As in `stream`, like all arguments.
            options: Options of this question.
            target: Who answers.
            remember: Whether the conversation is sent along.
            at: Where the turn goes.
            fields: As in `stream`.

        Raises:
            ConfigError: An option is unknown, or the prompt holds one of the user's keys.
        """
        check_prompt(prompt)
        extras = self._extras(fields, at)
        prompt = extras.attached.added_to(prompt)
        asked = self._asked(options, fields)
        target = target or self.target_for(asked)
        request = self._request(prompt, asked, target, at, extras, remember=remember)
        return extras.prepared(request, target)

    def cached(
        self,
        prompt: str,
        options: ChatOptions | None = None,
        *,
        target: Target | None = None,
        remember: bool = True,
        at: InsertPoint | None = None,
        **fields: object,
    ) -> MessageNode | None:
        """Return the stored answer that `stream` would give now with `cache` on; None where somebody has to be asked.

        Args:
            prompt: As in `stream`, like all arguments.
            options: Options of this question.
            target: Who answers.
            remember: Whether the conversation is sent along.
            at: Where the turn goes.
            fields: As in `stream`.

        Raises:
            ConfigError: The prompt holds one of the user's keys.
        """
        extras = self._extras(fields, at)
        prompt = extras.attached.added_to(prompt)
        asked = self._asked(options, fields)
        target = target or self.target_for(asked)
        request = self._request(prompt, asked, target, at, extras, remember=remember)
        return self._stored(request, request_key(target.provider, request), target, extras)

    def _extras(self, fields: dict[str, object], at: InsertPoint | None) -> Extras:
        """Take what is no option out of a question's keywords, and return it."""
        question = self._question_at(at) if at is not None and at.instead_of else None
        return Extras.taken(fields, Attachments(() if question is None else question.attachments))

    def _attached(self, fields: dict[str, Any], at: InsertPoint | None) -> Attachments:
        """Take what is attached out of a question's keywords, and return it."""
        return self._extras({name: fields.pop(name) for name in ("attachments",) if name in fields}, at).attached

    def _asked(self, options: ChatOptions | None, fields: dict[str, object]) -> ChatOptions:
        """Return the options in force for a question."""
        asked = (options or ChatOptions()).over(self.options)
        return ChatOptions.of(**fields).over(asked) if fields else asked

    def _request(
        self,
        prompt: str,
        asked: ChatOptions,
        target: Target,
        at: InsertPoint | None,
        extras: Extras,
        *,
        remember: bool,
        warnings: list[str] | None = None,
    ) -> Request:
        before = without_keys(self.before(at)) if remember else []
        system = asked.system or ""
        refuse_keys(prompt, system)
        limit = asked.history_tokens or getattr(target.provider, "history_tokens", None)
        history = before if limit is None else last_turns(before, limit)
        if len(history) < len(before) and warnings is not None:
            warnings.append("history-trimmed")
        first = (Message("system", system),) if system else ()
        question = Message("user", content_of(prompt, extras.attached.pictures))
        return Request(
            messages=(*first, *limit_pictures([*history, question])),
            model=target.model,
            options=asked.parameters,
            think=asked.think,
            timeout=asked.timeout,
            tools=extras.tools.specs if extras.tools is not None else (),
            search=extras.search,
            format=extras.format,
        )

    def _stored(self, request: Request, key: str, target: Target, extras: Extras) -> MessageNode | None:
        """Return the stored answer to a request, by whichever provider may have been meant when it was given.

        One that does not fit its schema is none.
        """
        meant = [(one.provider, msgspec.structs.replace(request, model=one.model)) for one in target.alternatives]
        answers = (self.find_stored(one) for one in (*(request_key(*other) for other in meant), key))
        found = next((answer for answer in answers if answer is not None), None)
        return found if found is not None and extras.fits(found.text) else None

    @asynccontextmanager
    async def _locked(
        self, reply: Reply, notify: Callable[[str], None] | None, *, remember: bool
    ) -> AsyncGenerator[None]:
        """Hold the conversation for the length of a block, in which an interrupt bites at any time."""

        def waiting() -> None:
            reply.warnings.append("waited-its-turn")
            if notify is not None:
                notify(tr("waiting for the conversation's other reply"))

        with ticking():
            async with self._lock.turn(waiting) if remember else nullcontext():
                yield

    @contextmanager
    def _recorded(self, turn: Turn, reply: Reply, redactor: StreamRedactor | None) -> Generator[None]:
        """Settle the turn at the end of a block, whichever way the reply ended."""
        if redactor is not None:
            redactor.follow(turn.answer.text)  # of an answer that is gone on with
        error: BaseException | None = None
        try:
            yield
        except ChatGLMError as failure:
            reply.end("error")
            failure.reply = reply
            error = failure
            raise
        except (asyncio.CancelledError, GeneratorExit, KeyboardInterrupt):
            reply.end("interrupted")
            raise
        except BaseException as failure:
            error = failure
            raise
        finally:
            if redactor is not None:
                for event in redactor.close():
                    reply.add(event)
                reply.exchange = redactor.messages(reply.exchange)
            reply.end("error")
            self.end(turn, error)


def open_chats(where: str = "") -> list[Chat]:
    """Return the conversations of this process that were opened under a name.

    Args:
        where: The place of the store that keeps them; empty for what is configured.
    """
    store = open_store(where)
    wanted = store if store.is_on else None
    return [chat for chat in list(_open) if getattr(recorder_of(chat), "store", None) is wanted]


def open_chat(name: str, where: str = "") -> Chat | None:
    """Return the open conversation of a name or an id; None if there is none."""
    return next((chat for chat in open_chats(where) if name in {chat.name, chat.id}), None)


def open_under(chat: Chat, name: str) -> None:
    """Name a conversation, keep it, and have it found by its name from now on."""
    chat.name = name
    keep(chat)
    _open.add(chat)


def close_chat(chat: Chat) -> None:
    """Have a conversation found by its name no more."""
    _open.discard(chat)
