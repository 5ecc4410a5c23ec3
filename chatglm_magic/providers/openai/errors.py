"""The complaint of a service → one of our errors: codes first, then words, then HTTP status; no I/O.

The platforms' codes are from the error pages of docs.bigmodel.cn and docs.z.ai. A 429 of theirs does not mean "try
again": only the inner code tells a rate limit from an empty balance. A message about a quota names the time of its
renewal as `YYYY-MM-DD HH:MM:SS`, in UTC+8. No header is promised, but `Retry-After` is honoured from every server.

Other services and gateways put the same few cases under any status and code, so their words count before the status:
an empty balance comes as 400, 401, 402, 403 and 429, an unknown model as 400, 404 and 503.
"""

from __future__ import annotations

import json
import math
import re
import time
from collections.abc import Iterable, Mapping
from datetime import datetime, timedelta, timezone
from email.utils import parsedate_to_datetime
from functools import cache
from http import HTTPStatus
from types import MappingProxyType
from typing import Any

import msgspec

from ..._errors import ErrorKind, ProtocolError, ProviderError, StatusError, shorten, status_error
from ..._language import marked, tr
from ..._transport import Refusal
from ..._transport.call import is_event_stream
from ..._transport.sse import SSEDecoder
from .wire import json_text, says_something, text_of

_BY_CODE: Mapping[str, ErrorKind] = MappingProxyType(
    {
        **dict.fromkeys(("1000", "1001", "1002", "1003", "1004", "1005"), "auth"),
        **dict.fromkeys(("1113", "1309", "1314"), "billing"),
        **dict.fromkeys(("1220", "1311", "1313", "1315"), "permission"),
        **dict.fromkeys(("1210", "1212", "1213", "1214", "1215", "1221", "1222"), "invalid_request"),
        "1211": "model_not_found",
        "1261": "context_length",
        "1301": "content_filter",
        **dict.fromkeys(("1302", "1305"), "rate_limit"),
        **dict.fromkeys(("1308", "1310", "1316", "1317", "1318", "1319", "1320", "1321"), "quota"),
        **dict.fromkeys(("1200", "1230", "1234"), "server"),
        # MiniMax's, in `base_resp`
        **dict.fromkeys(("base_resp 1004", "base_resp 2049"), "auth"),
        "base_resp 1008": "billing",
        **dict.fromkeys(("base_resp 1002", "base_resp 1041"), "rate_limit"),
        "base_resp 1039": "context_length",
        **dict.fromkeys(("base_resp 1026", "base_resp 1027"), "content_filter"),
        "base_resp 2013": "invalid_request",
        **dict.fromkeys(("base_resp 1000", "base_resp 1001", "base_resp 1024", "base_resp 1033"), "server"),
    }
)

_CHAT_TEMPLATE = r"jinja|chat template(?! kwargs)|template ?error|roles must alternate"
_SAYINGS = r"""
invalid_request
    <template>
context_length
    (?:request|payload|content|entity|body|prompt|input) (?:entity )?(?:is )?too large
rate_limit
    (?:retry|try again) (?:in|after) (?:about )?\d
quota
    (?:今[日天]|每[日天周月]|当[日天月])[^。]{0,8}(?:额度|次数|配额|限额)
billing
    insufficient (?:\w+ )?(?:balance|funds?|credits?|quota|resource pack)
    \b(?:balance|credits?|funds?)\b ~ (?:insufficient|not enough|too low|exhaust|empty|used up|negative|depleted)
    \b(?:out of|no|not enough|low|negative|all available|included|exceed\w* your) (?:\w+ )?(?:credits?|balance|funds?)\b
    arrear|overdue|past due|payment (?:is )?required|unpaid|good standing|top[- ]?up|recharge
    billing (?:hard|not|is|details|account|issue|problem|disabled)|plan and billing|current quota
    \b(?:credit card|payment(?: method)?)\b ~ (?:declined|fail|expired|invalid|missing|update)
    \b(?:add|update|no) (?:a |your )?(?:valid )?(?:payment|credit card)
    budget (?:has been )?exceed|exceed\w* (?:\w+ )?budget|over budget|spend\w* limit|resource ?pack\w* exhaust
    quota is not enough|remain quota
    余额|欠费|透支|充值|额度(?:不足|已|用|耗|为)|资源包|预扣费|[点积]分?数?不足|账[户号][^。]{0,8}不足|付费|套餐(?:已|到)
quota
    \bper[ -](?:day|week|month)|\bdaily\b|\b(?:week|month)ly\b|\b[rt]pd\b|每[日天周月]|当[日天]|月度
rate_limit
    rate[ -]?limit|too many (?:requests|concurrent)|throttl|\bper[ -](?:min|sec|hour)|\b[rtq]p[ms]\b|rate ?quota
    concurren\w+ (?:\w+ )?limit|requests? (?:\w+ )?too (?:frequent|fast)
    频繁|限流|速率|频率|并发|每分钟|每秒|(?:请求|访问|调用)[数量]?过[多大高快]|触发限
invalid_request
    \bmax (?:completion |output )?tokens\b.{0,3} (?:is )?(?:too large|must be (?!at least 1, got -)|should|exceeds)
context_length
    context[ -]?(?:length|size|window|limit|overflow)|maximum context|\bn ctx\b|trying to keep the first
    \b<text>\b ~ (?<!took )(?<!taking )too (?:long|large|big)|string too long
    too many (?:\w+ )?tokens|length of (?:the |your )?(?:input|prompt|message)|above max length|reduce the length
    \b(?:prompts?|inputs?|texts?|messages?|tokens?) (?:count )?exceeds?\b
    exceeds? (?:the )?max\w* (?:size|context|length)
    (?:input|prompt|sequence|message) (?:token )?length|longer than the (?:\w+ )?(?:model|context|maximum)
    \b(?:inputs?|prompts?|query)\b ~ \btokens?\b ~ (?:exceed|longer|larger|greater|limit|maximum|at most|less|fewer|<)
    \b(?:inputs?|prompts?|messages?)\b ~ (?:less|fewer|more) than \d+ tokens|at most \d+ tokens|max context
    \bmax\w* input (?:length|characters|tokens|size)
    exceed\w* ~ (?:token limit|maximum (?:input|number of tokens|length|tokens))|max tokens must be at least 1, got -
    (?:输入|文本|内容|提示词?|消息|上下文|对话|会话|长度|字数|prompt|tokens?)[^。；;]{0,20}(?:[过超太]长|超[过出限]|过大)
    (?:超[过出]|大于)[^。；;]{0,20}(?:长度|上下文|字数|tokens?|字符)|(?:请求|问题)(?:体|内容)?(?:[过超太]长|过大)
    (?:最大|输入|上下文)长度|上下文窗口
content_filter
    content[ -]?(?:filter|safety)|content management|(?:content|usage|safety) polic|moderation|data ?inspection
    inappropriate|(?<!case.)\bsensitive\b|content exists risk|risk control|flagged|harmful|prohibited content
    blocked (?:by|due to|for) (?:safety|content|policy)|high risk|risky content
    safety (?:system|filter|setting|check|reason)|unsafe content
    敏感|违规|违禁|不合规|不当|不适当|违反[^。]{0,20}(?:规|法|政策)|安全(?:审核|策略|检测|检查)|风控
    (?:内容|输入|输出)[^。]{0,8}(?:审核|风险|过滤|不安全|不合法)|审核(?:不|未|失败)|涉政|色情
quota
    \bquota\b|usage limit|free ?tier only|resource\w* ~ exhausted
    配额|限额|使用上限|用量|额度|次数[^。]{0,6}(?:已|用|超|上限)
auth
    \b(?:invalid|incorrect|wrong|bad|expired|revoked) (?:(?:<api>|user|your|the|or)[ -])*<key>\b(?! (?:count|limit))
    \b<api>[ -]?<key>\b ~ (?:not (?:be )?(?:valid|found|exist|provided|recognized|match)|invalid|incorrect|expired)
    \b<api>[ -]?<key>\b ~ (?:wrong|revoked|disabled|required|missing|unknown|inactive|mismatch)|secret ?id not found
    \b(?:no|missing|without|provide an?|unknown|lacks?) (?:valid |required )?<api>[ -]?(?:<key>|header)\b
    \bauth(?:enticat\w+|orization)?[ :]*(?:header )?(?:is )?(?:fail|error|required|missing)|invalid authenti
    \bun(?:authenticated|authorized)\b|not authenticated|\buser not found\b
    \btoken (?:is |has |was )?(?:expired|invalid|incorrect)|no connected db
    \bmalformed <api>[ -]?<key>\b|login required|please log ?in|授权(?:失败|无效)
    (?:令牌|[密秘]钥|api ?key|token|鉴权|认证|身份|签名)[^。；;，,]{0,15}(?:无效|失败|错误|不正确|过期|不存在|有误)
    (?:令牌|[密秘]钥|api ?key|token|签名)[^。；;，,]{0,15}(?:缺失|为空|未提供|失效|禁用|不合法)|未(?:授权|登录|认证)
    (?:无效|错误|非法|缺少|提供|过期|正确|有效)的?\s?(?:令牌|[密秘]钥|api ?key|token|签名|身份)
invalid_request
    (?:unsupported|unknown|unrecognized|unexpected) (?:\w+ )?(?:parameter|argument|field|param\b|property)
    extra (?:inputs|forbidden)|not support (?:the )?param|参数[^。；;]{0,12}(?:不支持|无效|非法)|不支持[^。；;]{0,6}参数
model_not_found
    \bmodels?\b['"`\w ./:@<>()\[\]-]{0,100}?\b(?:not|n't) (?:be )?(?:exist|found|served|loaded|recognized)
    \bmodels?\b['"`\w ./:@<>()\[\]-]{0,100}?(?:doesn't|isn't|wasn't|couldn't be) (?:exist|found|served|loaded)
    (?:not (?:found|find)|no such|unknown|invalid|unsupported|unrecognized) (?:the )?models?\b(?! (?:out|resp|in|par))
    (?:can(?:not|'t)|could(?: not|n't)|unable to|failed to) (?:access|find|load) (?:the )?(?:requested )?models?\b
    not a valid model|\bmodels? (?:name |id )?(?:is )?(?:invalid|incorrect|unknown)
    \bmodels? (?:(?:is|was|has been) )?(?:decommissioned|deprecated|retired|removed)
    (?:^|; )(?:the |this )?models? (?:is )?not (?:supported|available)
    \bmodels? ['"`\w./:@-]{1,80} (?:is|has been|was) (?:not (?:available|supported)|decommissioned|deprecated|retired)
    \bmodels?\b['"`\w ./:@-]{0,80} not available|no models? named|value for ['"`]?model(?:['"`:]|$)|\bmodel is required
    model (?:is )?not open|endpoint or model|deployment ~ not (?:be )?(?:exist|found)|try pulling
    \bonly\b.{0,20}allowed now
    \bno (?:healthy |available )?(?:deployments?|endpoints?|models?|channels?)\b(?: \w+)? (?:found|loaded|for)\b
    模型[^。；;，,]{0,60}?(?:不存在|[未没]有?找到|找不到|未开通|未部署|下[线架]|无效|无可用|未注册|不正确)|无可用渠道|模型名称?(?:错误|有误)
    (?:不存在|未找到|找不到|无此|没有[找这该此]|未知|无效|错误|不支持)的?[^。；;，,：:]{0,40}?模型
permission
    permission (?:denied|error)|access (?:is )?denied|\b(?:no|not have|without|lacks?) (?:\w+ )?(?:permission|access)
    not (?:authorized|entitled)|insufficient (?:permission|scope|privilege)|not allowed to (?:access|use)
    (?:country|region|location)\b ~ not (?:supported|available)|unsupported country|无权|没有权限|权限不[足够]
rate_limit
    overload|\bbusy\b|(?:over|out of|at|tier) capacity|capacity exceeded|繁忙|负载|过载|饱和|拥挤
"""
"""What services say in each case, in the order of trust: with blanks for `_`, in lower case, CamelCase taken apart."""

_SHORT_FOR = {
    "<template>": _CHAT_TEMPLATE,
    " ~ ": r"\b[^.;。；]{0,60}?",
    "<api>": r"(?:api|x|access|auth\w*|bearer|secret|subscription|jwt|iam|security|virtual)",
    "<key>": r"(?:api ?key|key|token|credential|signature)s?",
    "<text>": "(?:prompts?|inputs?|messages?|texts?|conversation|request|question|content|query)",
}
_REFUSED = (
    (
        re.compile(_CHAT_TEMPLATE),
        marked("The model's chat template refused the conversation"),
        marked("Start over with --new, or without --system."),
    ),
    (
        re.compile("chat template kwargs|enable thinking"),
        marked("Thinking cannot be switched here"),
        marked("Ask without --think and --no-think; some servers take -o reasoning_effort low."),
    ),
)
"""Signs of some refused requests, with what happened and what to do next."""

_BY_STATUS: Mapping[int | None, ErrorKind] = MappingProxyType(
    {
        **dict.fromkeys((401, 407), "auth"),
        402: "billing",
        **dict.fromkeys((403, 434), "permission"),  # 434: the platforms' "no access to the beta"
        **dict.fromkeys((408, 409, 425), "server"),
        413: "context_length",
        429: "rate_limit",
        501: "invalid_request",
    }
)
_SURE_STATUS = frozenset({402, 405, 407, 413})
"""Statuses that say more than the words beside them."""
_CHECK_URL = marked("Check the base URL: it ends where /chat/completions follows.")
_ADVICE: Mapping[int | None, tuple[str, str]] = MappingProxyType(
    {
        405: (marked("That address takes no questions (POST)"), _CHECK_URL),
        407: (
            marked("A proxy on the way to {host} wants a user and a password"),
            marked("Name it with proxy= or in https_proxy, like http://user:password@host:port."),
        ),
        413: (
            marked("The request is too large for {host}, or for a proxy in front of it"),
            marked("Start over with --new, ask with --no-history, or send less."),
        ),
    }
)
"""What happened and what to do next, by status."""
_IN_ONE_PIECE = marked(
    "{origin} answered in one piece, not as a stream (HTTP {status}, {kind}): {text!r}. Use a server that can stream."
)
_NO_STREAM = marked(
    "{origin} gave an answer that is no chat stream (HTTP {status}, {kind}): {text!r}. Check the base URL."
)
_INVALID = re.compile(
    r"invalid request|bad request|validation error|unprocessable|unexpected keyword|unsupported"
    r"|not (?:supported|implemented|permitted|allowed)|notimplemented"
)
_BLOCKED = frozenset({HTTPStatus.FORBIDDEN, HTTPStatus.METHOD_NOT_ALLOWED})
"""What a firewall in front of a service answers, with a page for browsers."""
_OTHER_PLATFORM = MappingProxyType({"zai": "bigmodel", "bigmodel": "zai"})
_MAX_WORDS = 2000
"""How much of a complaint is looked through: the rest may be the prompt."""

_RESET = re.compile(r"(\d{4}-\d\d-\d\d)[ T](\d\d:\d\d:\d\d)")
_BEIJING = timezone(timedelta(hours=8))
_WAIT = re.compile(r"(?:retry|try again) (?:in|after) (?:about )?(?:(\d+)h)?(?:(\d+)m(?!s))?(?:([\d.]+) ?(ms|s|$)?)?")
_CAMEL = re.compile(r"(?<=[a-z])(?=[A-Z])|_")
_NO_BEARER = re.compile(r"(?!.*\bbearer\b).*\b(basic|digest|ntlm|negotiate)\b", re.IGNORECASE | re.DOTALL)
_TITLE = re.compile(r"<title[^>]*>(.*?)</title", re.IGNORECASE | re.DOTALL)


class RequestInfo(msgspec.Struct, frozen=True):
    """What an error says about the request.

    Attributes:
        provider: Who was asked.
        model: For which model; empty for none.
        host: Where.
        keyless: The URL to which no key was sent; empty where one was.
    """

    provider: str
    model: str = ""
    host: str = ""
    keyless: str = ""

    def __str__(self) -> str:
        return tr("{model} at {host}", model=self.provider, host=self.host)

    def facts(self) -> dict[str, Any]:
        """Return what a `ProviderError` has as keywords."""
        return {"provider": self.provider, "model": self.model, "host": self.host}


class Complaint(msgspec.Struct, frozen=True):
    """What a service reported.

    Attributes:
        message: Its words.
        code: Its own code, or None.
        type: Its own name for the kind of error; empty if it gave none.
    """

    message: str
    code: str | None = None
    type: str = ""


def explain(refusal: Refusal, info: RequestInfo) -> ProviderError:
    """Return the error for an answer that is no event stream."""
    text = refusal.body.decode("utf-8", "replace").strip()
    value = _json(text)
    if value is None and is_event_stream(refusal.content_type, refusal.body.strip() or b"-"):
        value = _event_value(refusal.body)
    elif value is None and ("html" in refusal.content_type or text.startswith("<")):
        return _explain_page(refusal, info, text)
    complaint = read_complaint(value)
    if complaint is None and refusal.status >= HTTPStatus.BAD_REQUEST:
        complaint = Complaint(shorten(value if isinstance(value, str) else text))
    if complaint is not None:
        return refusal_error(complaint, info, status=refusal.status, headers=refusal.headers)
    if not text:
        msg = tr(
            "{origin} gave an empty answer (HTTP {status}). Perhaps the conversation is too long for the model: start "
            "over with --new; if it stays empty, check the base URL.",
            origin=info,
            status=refusal.status,
        )
        return ProtocolError(msg, kind="empty", **info.facts())
    in_one_piece = isinstance(value, dict) and "choices" in value
    msg = tr(
        _IN_ONE_PIECE if in_one_piece else _NO_STREAM,
        origin=info,
        status=refusal.status,
        kind=refusal.content_type or tr("no content type"),
        text=shorten(text, 160),
    )
    return ProtocolError(msg, **info.facts())


def _explain_page(refusal: Refusal, info: RequestInfo, text: str) -> ProviderError:
    """Return the error for a page made for browsers: a firewall's, a proxy's, or that of a wrong address."""
    title = _TITLE.search(text)
    words = shorten(title[1] if title else re.sub(r"<[^>]*>", " ", text[:4000]), 160)
    status = refusal.status
    if status in _BLOCKED and not re.search("not allowed", words, re.IGNORECASE):
        return status_error("blocked", status=status, detail=tr("an HTML page: {words}", words=words), **info.facts())
    if status >= HTTPStatus.INTERNAL_SERVER_ERROR or status in _BY_STATUS or status in _SURE_STATUS:
        return refusal_error(Complaint(words), info, status=status, headers=refusal.headers)
    msg = tr(
        "{origin} answered with an HTML page, not a chat stream (HTTP {status}): {words!r}. Check the base URL.",
        origin=info,
        status=status,
        words=words,
    )
    return ProtocolError(msg, **info.facts())


def read_complaint(value: object, levels: int = 9) -> Complaint | None:
    """Return the complaint in a JSON value, in any of the shapes that servers use; None if there is none.

    `{"error": {…}}` with a code of text or a number, `{"error": "words"}`, the object alone, SGLang's flat
    `{"object": "error", …}`, the platforms' `{"code", "msg"}`, Spring's `{"status", "error", "path"}`, FastAPI's
    `{"detail": …}`, MiniMax's `base_resp`, Tencent's `{"Response": {"Error": …}}`, and any of them inside another.

    Args:
        value: The value.
        levels: How deep it is looked into.
    """
    if isinstance(value, list) and value:
        value = value[0]
    if not isinstance(value, dict) or not levels:
        return None
    fields = {name.lower(): item for name, item in value.items()}
    error = fields.get("error")
    if isinstance(error, dict) and any(item not in (None, "") for item in error.values()):
        return _from_object(error, levels)
    if isinstance(error, str) and error:
        path = fields.get("path")
        inner = read_complaint(_json(error), levels - 1) if error.startswith("{") else None
        return inner or Complaint(f"{error}: {path}" if isinstance(path, str) else error, _first(fields, _CODES))
    if error and not isinstance(error, dict) and not any(fields.get(name) for name in _WORDS):
        return Complaint(_words(error))
    for name in ("base_resp", "response", "header"):
        if isinstance(inner := fields.get(name), dict) and (found := read_complaint(inner, levels - 1)):
            return msgspec.structs.replace(found, type=name) if name == "base_resp" else found
    words = any(fields.get(name) for name in _WORDS)
    failed = fields.get("object") == "error" or _first(fields, _CODES) not in {"0", "200"}
    return _from_object(fields, levels) if words and failed and "choices" not in fields else None


def complaint_in(holder: dict[str, Any], *, flat: bool) -> Complaint | None:
    """Return the error that a frame, a choice or a vendor's own object surely reports; None if there is none.

    Args:
        holder: The object.
        flat: Whether it may itself be the error.
    """
    if says_something(holder.get("error")):
        return read_complaint(holder)
    code, words = holder.get("status_code"), holder.get("status_msg")
    if says_something(code) and words:  # MiniMax's `base_resp`
        return Complaint(str(words), str(code), "base_resp")
    proofs = {str(holder.get(name)).lower() for name in ("object", "type", "status", "success")}
    is_error = bool(proofs & _FAILURES) or says_something(holder.get("code"))
    return read_complaint(holder) if flat and is_error and "choices" not in holder else None


_WORDS = ("message", "msg", "error_msg", "err_msg", "errmsg", "error_message", "status_msg", "detail", "errors")
_FAILURES = frozenset({"error", "failed", "failure", "false"})
_CODES = ("code", "error_code", "err_code", "errcode", "status_code")


def _from_object(error: dict[str, Any], levels: int) -> Complaint:
    fields = {name.lower(): item for name, item in error.items()}
    said = next((fields[name] for name in (*_WORDS, "error", "type") if fields.get(name)), "")
    inner = said[0] if isinstance(said, list) and said else said
    if isinstance(inner, str) and inner.lstrip().startswith("{"):
        inner = _json(inner)
    if isinstance(inner, dict) and "loc" not in inner:  # a gateway that wraps the service's own error
        for wrapped in (inner, {"error": inner}):
            if found := read_complaint(wrapped, levels - 1):
                return found
    words = _words(said)
    metadata = fields.get("metadata")
    for more in (fields.get("param"), metadata.get("raw") if isinstance(metadata, dict) else None):
        if isinstance(more, str) and more and more not in words:
            words += f" ({more})"
    return Complaint(words, _first(fields, _CODES), text_of(fields.get("type") or fields.get("error_type")))


def _first(fields: Mapping[str, Any], names: Iterable[str]) -> str | None:
    return next((code for name in names if (code := _code(fields.get(name)))), None)


def _code(value: object) -> str | None:
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    return str(value) if isinstance(value, (str, int)) and not isinstance(value, bool) and value != "" else None


def _words(value: object) -> str:
    """Return what a field says; of a list of faults their places and words, not what was sent."""
    if isinstance(value, list) and value and all(isinstance(item, dict) and "msg" in item for item in value):
        places = (".".join(map(str, item["loc"])) if isinstance(item.get("loc"), list) else "" for item in value)
        return "; ".join(f"{place}: {item['msg']}".lstrip(": ") for place, item in zip(places, value, strict=True))
    return value if isinstance(value, str) else json_text(value)


def _json(text: str) -> object:
    try:
        value: object = json.loads(text, strict=False)
    except (ValueError, RecursionError):
        return None
    return value


def _event_value(body: bytes) -> object:
    """Return the first JSON value of a refusal that is an event stream; None if it holds none."""
    decoder = SSEDecoder()
    events = (event.data.decode("utf-8", "replace") for event in (*decoder.feed(body), *decoder.close()))
    return next(filter(None, map(_json, events)), None)


def refusal_error(
    complaint: Complaint, info: RequestInfo, *, status: int | None = None, headers: Mapping[str, str] | None = None
) -> StatusError:
    """Return the error for a complaint.

    Args:
        complaint: What the service reported.
        info: The request.
        status: HTTP status; None inside a stream.
        headers: The answer's headers, names in lower case.
    """
    headers = headers or {}
    kind = _classify(complaint, status)
    what, remedy = _advice(kind, complaint, info, status, headers.get("www-authenticate", ""))
    helps = kind in {"rate_limit", "server"} and headers.get("x-should-retry", "").lower() != "false"
    wait = seconds_to_wait(headers)
    return status_error(
        kind,
        what=what,
        status=status,
        code=complaint.code,
        detail=complaint.message,
        retryable=helps,
        retry_after=_named_wait(complaint.message) if wait is None and helps else wait,
        reset_at=_reset_time(complaint.message) if kind in {"quota", "billing", "rate_limit"} else None,
        remedy=remedy,
        **info.facts(),
    )


def foreign_error(text: str, info: RequestInfo) -> ProtocolError:
    """Return the error for a stream that is no chat reply, which it quotes."""
    msg = tr(
        "{origin} sends events that are no chat reply: {text!r}. Check the base URL.",
        origin=info,
        text=shorten(text, 120),
    )
    return ProtocolError(msg, **info.facts())


def names_refused(error: ProviderError | None, names: Iterable[str]) -> frozenset[str]:
    """Return which of these parameters a refusal names; `max_tokens` only if it names the new parameter for it."""
    if not isinstance(error, StatusError) or error.kind not in {"invalid_request", "server"}:
        return frozenset()
    words = error.detail.lower()
    signs = {
        "max_tokens": r"max_completion_tokens",
        "stream_options": r"stream[_ ]?options",
        "stop": r"(?<![\w-])stop(?!\w)|stop_",
    }
    return frozenset(name for name in names if re.search(signs.get(name, name), words))


def _advice(
    kind: ErrorKind, complaint: Complaint, info: RequestInfo, status: int | None, challenge: str
) -> tuple[str, str | None]:
    """Return what happened and what to do next, where the usual words for the kind do not fit."""
    if said := _ADVICE.get(status):
        return tr(said[0], host=info.host), tr(said[1])
    if kind == "auth" and (found := _NO_BEARER.match(challenge)):
        return tr(
            "{host} wants a user and a password ({scheme}), which cannot be sent",
            host=info.host,
            scheme=found[1].capitalize(),
        ), tr("Ask there for a way in with a key (Bearer), or reach the server another way, such as by a tunnel.")
    if kind == "auth" and info.keyless:
        remedy = tr("Give one: %chatglm login {host}, or api_key= in Python.", host=info.keyless)
        return tr("No key was sent"), remedy
    if kind == "invalid_request":
        for sign, what, remedy in _REFUSED:
            if sign.search(_plain(complaint)):
                return tr(what), tr(remedy)
    return "", _remedy(kind, info, status)


def _remedy(kind: ErrorKind, info: RequestInfo, status: int | None) -> str | None:
    """Return what to do next, where the usual advice for the kind does not fit."""
    other = _OTHER_PLATFORM.get(info.provider)
    if kind == "auth" and other:
        return tr(
            "A key looks like id.secret and belongs to one host: try it with -m {other}, or make a new one.",
            other=other,
        )
    if kind == "billing" and other:
        return tr("Top up the account, choose a free model such as glm-4.7-flash, or use -m local.")
    if kind == "invalid_request" and status == HTTPStatus.NOT_FOUND:
        return tr(_CHECK_URL)
    return None


def _plain(complaint: Complaint) -> str:
    """Return all that a complaint says in lower case, names taken apart into words."""
    said = "; ".join((complaint.code or "", complaint.type, complaint.message[:_MAX_WORDS]))
    return _CAMEL.sub(" ", said).lower()


@cache  # at the first complaint, as it takes some milliseconds
def _by_words() -> list[tuple[ErrorKind, re.Pattern[str]]]:
    """Return what services say in each case, in the order of trust."""
    kinds: list[tuple[Any, list[str]]] = []
    for line in _SAYINGS.strip().splitlines():
        if line.startswith(" "):
            kinds[-1][1].append(line.strip())
        else:
            kinds.append((line, []))
    pattern = re.compile("|".join(map(re.escape, _SHORT_FOR)))
    return [
        (kind, re.compile(pattern.sub(lambda found: _SHORT_FOR[found[0]], "|".join(words)))) for kind, words in kinds
    ]


def _classify(complaint: Complaint, status: int | None) -> ErrorKind:
    code = complaint.code or ""
    if complaint.type == "base_resp":
        code = f"base_resp {code}"
    known = _BY_CODE.get(code)
    if known and known != "auth":  # 1000 to 1005 mean other things elsewhere: there the words come first
        return known
    if status is None or status < HTTPStatus.BAD_REQUEST:  # inside a stream, some servers put the status into the code
        status = int(code) if re.fullmatch(r"[45]\d\d", code) else None
    words = _plain(complaint)
    kinds = (kind for kind, pattern in _by_words() if pattern.search(words))
    if status not in _SURE_STATUS and (found := next(kinds, known)):
        return found
    if kind := _BY_STATUS.get(status):
        return kind
    if status is None or status >= HTTPStatus.INTERNAL_SERVER_ERROR:
        return "invalid_request" if _INVALID.search(words) else "server"
    return (
        "model_not_found" if status == HTTPStatus.NOT_FOUND and re.search("(?<!/)model", words) else "invalid_request"
    )


def _named_wait(message: str) -> float | None:
    """Return the seconds to wait that a message names ("try again in 7m12s"); None if it names none."""
    found = _WAIT.search(message.lower())
    if not found or not any(found.groups()):
        return None
    hours, minutes, rest, unit = found.groups()
    try:
        return int(hours or 0) * 3600 + int(minutes or 0) * 60 + float(rest or 0) / (1000 if unit == "ms" else 1)
    except ValueError:
        return None


def _reset_time(message: str) -> str | None:
    """Return the time of day that a platform names, as ISO text with its UTC offset."""
    found = _RESET.search(message)
    try:
        return datetime.fromisoformat(f"{found[1]}T{found[2]}").replace(tzinfo=_BEIJING).isoformat() if found else None
    except ValueError:
        return None


def seconds_to_wait(headers: Mapping[str, str]) -> float | None:
    """Return the seconds from now in `retry-after-ms` or `Retry-After` (seconds or a date); None without either."""
    for name, unit in (("retry-after-ms", 1000), ("retry-after", 1)):
        value = headers.get(name, "").strip()
        try:
            seconds = float(value) / unit
        except ValueError:
            try:
                seconds = parsedate_to_datetime(value).timestamp() - time.time()
            except (TypeError, ValueError, OverflowError):
                continue
        if math.isfinite(seconds):
            return max(seconds, 0.0)
    return None
