"""One apprise URL as a channel: what it may reach, how it is written to, what of it must never be seen."""

from __future__ import annotations

import functools
import re
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Literal
from urllib.parse import unquote

from enigma_core.errors import ConfigError
from enigma_core.parts import Note
from enigma_core.secrecy import hide, redacted
from enigma_plugins.notifiers import _text
from enigma_plugins.notifiers._addresses import hosts, inner_hosts, refusal, resolved_refusal
from enigma_plugins.notifiers._sending import Aside, Undelivered

if TYPE_CHECKING:
    from apprise import Apprise

How = Literal["on", "off", "silent"]

SECONDS = 10.0
"""How long one message may take."""

BATCH = 256

ALARMS = frozenset({"halted", "state", "journal", "close", "exit_fault", "alert_conflict", "unprotected", "blocked"})
"""Events that services which know kinds of messages show as warnings."""

QUIET: Mapping[str, Mapping[str, str]] = {
    "NotifyTelegram": {"silent": "yes"},
    "NotifyNextcloudTalk": {"silent": "yes"},
    "NotifyDiscord": {"flags": "4096"},
    "NotifyNtfy": {"priority": "low"},
    "NotifyGotify": {"priority": "moderate"},
    "NotifyPushover": {"priority": "moderate"},
    "NotifyProwl": {"priority": "moderate"},
    "NotifyPushSafer": {"priority": "moderate"},
    "NotifyJoin": {"priority": "moderate"},
    "NotifyFCM": {"priority": "low"},
    "NotifyGrowl": {"priority": "moderate"},
    "NotifyLauther": {"priority": "low"},
    "NotifyYouLMK": {"priority": "low"},
    "NotifyPinglet": {"priority": "silent"},
    "NotifyMatrix": {"msgtype": "notice"},
    "NotifyDBus": {"urgency": "low"},
    "NotifyGLib": {"urgency": "low"},
    "NotifyGnome": {"urgency": "low"},
}
"""How a service is asked to make no sound; at the lowest priority some would show nothing at all.

Services that are not here have no such thing, and get an ordinary message.
"""

READS_MARKDOWN = frozenset(
    {"NotifyDiscord", "NotifyGuilded", "NotifyRevolt", "NotifyFluxer", "NotifyMattermost", "NotifyZulip", "NotifyMisskey"}
)
"""Services that read Markdown in what is sent to them as plain text."""


class AppriseChannel:
    """A way to people. `group`, `limit` and `batch` are for whoever delivers; `send_all` sends one message."""

    batch = BATCH

    def __init__(self, url: str, *, events: Mapping[str, How], group: float, limit: int, private_addresses: bool) -> None:
        hide(url)
        self.group, self.limit = group, limit
        self._url = url
        self._events = events
        self._private = private_addresses
        self._aside = Aside()
        self._senders: dict[bool, Apprise] = {}
        service = self._service(silent=False)
        for secret in _secrets(service):
            hide(secret)
        # keys and pictures may be fetched from addresses within the address
        self._hosts = (*hosts(service), *inner_hosts(unquote(url.partition("?")[2])))
        if not private_addresses and (why := refusal(service, self._hosts)):
            raise ConfigError(f"{_name(service)}: {why}; or set private_addresses to true, if that is meant")
        self.label = _name(service)
        kind = type(service).__name__
        self._markdown = kind in READS_MARKDOWN
        # a service without titles puts them into the text
        self._room = max(int(service.body_maxlen) - (0 if service.title_maxlen else 80), 60)

    def wants(self, event: str) -> bool:
        """False for events that are switched off; one that nobody has named is on."""
        return self._events.get(event, "on") != "off"

    async def send_all(self, notes: Sequence[Note], missed: Mapping[str, int]) -> None:
        """One message. Raises `Undelivered` in a sentence without the address."""
        silent = not missed and bool(notes) and all(self._events.get(note.event) == "silent" for note in notes)
        await self._aside.run(functools.partial(self._post, tuple(notes), dict(missed), silent), SECONDS)

    def _post(self, notes: Sequence[Note], missed: Mapping[str, int], silent: bool) -> None:
        from apprise import NotifyFormat

        sender = self._sender(silent)
        if not self._private and (why := resolved_refusal(self._hosts)):
            raise Undelivered(f"{self.label}: {why}; nothing was sent")
        result = sender.notify(
            body=_text.body(notes, missed, room=self._room, markdown=self._markdown),
            title=_text.title(notes),
            notify_type="warning" if any(note.event in ALARMS for note in notes) else "info",
            body_format=NotifyFormat.TEXT,
        )
        if not result:
            why = next((entry.message for entry in reversed(list(result.logs())) if entry.message), "")
            said = " ".join(redacted(why.replace(self._url, "***")).split())[:200]
            raise Undelivered(f"{self.label} did not take it{f': {said}' if said else ''}")

    def _sender(self, silent: bool) -> Apprise:
        """Kept from message to message: services know when they may be written to again."""
        from apprise import Apprise

        if silent not in self._senders:
            self._senders[silent] = Apprise([self._service(silent=silent)], asset=_asset())
        return self._senders[silent]

    def _service(self, *, silent: bool) -> Any:
        """The service that the URL describes. Raises `ConfigError` without saying more of the URL than its scheme."""
        apprise = _library()
        scheme = self._url.partition("://")[0][:20] if "://" in self._url else ""
        settings = apprise.plugins.url_to_dict(self._url, secure_logging=True) if scheme else None
        if not settings:
            what = f"a {scheme}:// address that apprise cannot read" if scheme.isalnum() else "a text that is no address"
            raise ConfigError(f"urls holds {what}: write it as its service describes, such as tgram://TOKEN/CHAT")
        if silent:
            plugin = apprise.plugins.N_MGR[settings["schema"]]
            settings |= QUIET.get(plugin.__name__, {})
        service = apprise.Apprise.instantiate(settings, asset=_asset())
        if service is None:
            raise ConfigError(f"urls holds a {scheme}:// address that is incomplete, or needs a library that is not installed")
        # whatever the address says of these
        service.redirects = False
        service.optional = False
        service.retry = 0
        service.overflow_mode = apprise.OverflowMode.SPLIT
        # how many messages there are is not its affair; a long pause would outlast the end of a run
        service.request_rate_per_sec = min(float(service.request_rate_per_sec), 1.0)
        return service


def split(text: str) -> Iterator[str]:
    """The addresses in `text`, which may hold several with blanks or commas between them."""
    for piece in re.split(r"[\s,;]+(?=[A-Za-z][A-Za-z0-9+.-]*://)|\s+", text.strip(" \t\r\n,;")):
        if piece:
            yield piece


def _library() -> Any:
    try:
        import apprise
    except ImportError:
        raise ConfigError("notifier apprise needs the library apprise: pip install apprise") from None
    return apprise


@functools.cache
def _asset() -> Any:
    """Everything in this process, nothing on disk, no redirects; the time limit is kept outside."""
    asset = _library().AppriseAsset(app_id="Enigma", app_desc="Miniature Enigma", app_url="", service_timeout=0)
    asset.http_redirects = False
    return asset


def _name(service: Any) -> str:
    """What a person calls it: never anything of its address but the host of one that is named by it."""
    name = str(service.service_name)
    return f"{name} at {named[0]}" if (named := hosts(service)) else name


def _secrets(service: Any) -> Iterator[str]:
    """What of a service's address is shown by nobody: what apprise itself masks, passwords, headers, long pieces of the path."""
    masked = set(_pieces(service.url(privacy=True)))
    yield from (piece for piece in _pieces(service.url(privacy=False)) if piece not in masked and len(piece) >= 8)
    yield from (part for part in str(service.fullpath or "").split("/") if len(part) >= 16)
    # whoever knows a topic can read and write it
    for held in (service.password, *(getattr(service, "headers", None) or {}).values(), *getattr(service, "topics", ())):
        if held and isinstance(held, str):
            yield held


def _pieces(url: str) -> Iterator[str]:
    """What stands between the marks of an address, as it is and as it is meant; with a colon in it both whole and in parts."""
    for piece in re.split(r"[/@?&=,#]+", url):
        for spelt in (piece, unquote(piece)):
            yield spelt
            yield from spelt.split(":")
