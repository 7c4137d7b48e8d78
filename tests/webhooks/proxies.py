"""A real proxy with the configuration that comes with the program, in front of the real server, and certificates for both."""

from __future__ import annotations

import asyncio
import contextlib
import re
import shutil
import socket
import ssl
import subprocess
from collections.abc import AsyncIterator, Mapping
from pathlib import Path
from typing import Any

import msgspec
import pytest

from desks import MemoryDesk
from enigma_webhooks.alerts import read
from enigma_webhooks.app import application
from enigma_webhooks.front.address import networks
from enigma_webhooks.front.receiver import Receiver
from posting import source
from serving import exchanged, served, status_of

DEPLOY = Path(__file__).parents[2] / "deploy"
HOST = "alerts.example.org"
SUBJECT = "/C=US/ST=Ohio/L=Westerville/O=TradingView, Inc./CN=TradingView Webhooks"
OTHER_SUBJECT = "/C=US/ST=Ohio/L=Westerville/O=TradingView, Inc./CN=webhook-server@tradingview.com"
STRANGER = "/C=US/ST=Ohio/L=Westerville/O=Somebody, Inc./CN=TradingView Webhooks"
DECEIVER = "/CN=x/description=x,CN=TradingView Webhooks,O=TradingView\\, Inc.,L=Westerville,ST=Ohio,C=US"
HERE = "127.0.0.2"
"""Where an alert is sent from: an address of this machine that is not the proxy's."""

EVERYTHING = ("client", "addresses")


class Certificates:
    """Made by openssl in `folder`: ``NAME.pem`` and ``NAME.key``."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def __getitem__(self, name: str) -> Path:
        return self.folder / f"{name}.pem"

    def key(self, name: str) -> Path:
        return self.folder / f"{name}.key"

    def make(self, name: str, subject: str, *, by: str = "", names: str = "") -> None:
        """A certificate signed by the one called `by`, or by itself."""
        lines = [f"subjectAltName={names}"] if names else []
        lines += ["extendedKeyUsage=clientAuth,serverAuth"] if by else ["basicConstraints=critical,CA:TRUE"]
        extensions = [word for line in lines for word in ("-addext", line)]
        signed = ["-CA", str(self[by]), "-CAkey", str(self.key(by))] if by else []
        command = ["req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "2"]
        where = ["-keyout", str(self.key(name)), "-out", str(self[name])]
        openssl(*command, "-subj", subject, *extensions, *signed, *where)


def openssl(*words: str) -> None:
    program = shutil.which("openssl")
    version = subprocess.run([program, "version"], capture_output=True, text=True, check=True).stdout if program else ""
    if not version.startswith("OpenSSL 3"):
        pytest.skip(f"certificates are made with OpenSSL 3; here is {version.strip() or 'none'}")
    done = subprocess.run(["openssl", *words], capture_output=True, text=True, check=False)
    assert not done.returncode, done.stderr


def certificates(folder: Path) -> Certificates:
    """Ours for the server; TradingView's as its CA would sign it, and what others would show in its place."""
    made = Certificates(folder)
    email = "email:webhook-server@tradingview.com"
    made.make("our-ca", "/CN=a CA for the server")
    made.make("server", f"/CN={HOST}", by="our-ca", names=f"DNS:{HOST}")
    made.make("their-ca", "/CN=a CA for the sender")
    made.make("tradingview", SUBJECT, by="their-ca", names=email)
    made.make("tradingview-too", OTHER_SUBJECT, by="their-ca", names=email)
    made.make("stranger", STRANGER, by="their-ca", names=email)
    made.make("deceiver", DECEIVER, by="their-ca", names=email)
    made.make("forged", SUBJECT, names=email)
    made.make("forged-ca", "/CN=a CA for the sender")
    made.make("forged-chain", SUBJECT, by="forged-ca", names=email)
    return made


def switched(text: str, *what: str) -> str:
    """A configuration with what can be switched on switched on: the ``client`` certificate, the ``addresses``, or both."""
    lines = []
    for line in text.splitlines():
        blank, mark, rest = line.partition("#: ")
        if mark and not blank.strip():
            about = "addresses" if re.search(r"(allow |deny |@outsiders )", rest) else "client"
            line = blank + rest if about in what else line
        lines.append(line)
    return "\n".join(lines) + "\n"


class Proxy(msgspec.Struct, frozen=True, kw_only=True):
    """A proxy that runs: `port` is its HTTPS, `plain` its HTTP. `seen` holds the heads of what came through, `folder` its files."""

    port: int
    plain: int
    seen: list[Any]
    desk: MemoryDesk
    certificates: Certificates
    folder: Path

    async def send(self, data: bytes, *, show: str = "", here: str = HERE) -> int:
        """Send one request over HTTPS from the address `here`, showing the certificate `show`: the status, 0 for none."""
        return status_of(await self.sent(data, show=show, here=here))

    async def sent(self, data: bytes, *, show: str = "", here: str = HERE) -> bytes:
        context = ssl.create_default_context(cafile=str(self.certificates["our-ca"]))
        if show:
            context.load_cert_chain(self.certificates[show], self.certificates.key(show))
        reader, writer = await asyncio.open_connection(
            "127.0.0.1", self.port, ssl=context, server_hostname=HOST, local_addr=(here, 0)
        )
        try:
            with contextlib.suppress(OSError):
                writer.write(data)
                await writer.drain()
                return await asyncio.wait_for(reader.read(), 10)
            return b""
        finally:
            writer.close()
            with contextlib.suppress(OSError):
                await writer.wait_closed()

    async def send_plain(self, data: bytes) -> int:
        """Send one request over HTTP."""
        return status_of(await exchanged(self.plain, data))

    def written(self) -> bytes:
        """All that the proxy has written down."""
        logs = [path for path in self.folder.rglob("*") if path.is_file() and path.suffix in (".log", ".body", ".out")]
        return b"".join(path.read_bytes() for path in logs)


@contextlib.asynccontextmanager
async def proxied(
    kind: str, folder: Path, made: Certificates, *switches: str, allow: tuple[str, ...] = (), down: bool = False
) -> AsyncIterator[Proxy]:
    """The proxy of this `kind` with its switches on, in front of a receiver that lets in `allow`. `down`: nobody is behind it."""
    program = shutil.which(kind)
    if program is None:
        pytest.skip(f"{kind} is not installed")
    if not can_send_from(HERE):
        pytest.skip(f"this machine has no {HERE} to send from")
    trusted = networks(["127.0.0.1/32"], "here")
    desk, seen = MemoryDesk(), []
    known = {name: source(name, allow=networks(allow, "here")) for name in ("tradingview", "signals")}
    app = application(Receiver(desk, known, read, trusted=trusted), openapi_config=None)

    async def noted(scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] == "http":
            seen.append((scope["path"], scope["query_string"], scope["headers"]))
        await app(scope, receive, send)

    async with served(noted, trusted=trusted) as behind:
        port, plain, nobody = free_ports(3)
        words = render(kind, folder, made, switches, port=port, plain=plain, behind=nobody if down else behind)
        environment = {"HOME": str(folder), "XDG_DATA_HOME": str(folder), "XDG_CONFIG_HOME": str(folder), "PATH": "/usr/bin:/bin"}
        with (folder / "said.out").open("wb") as said:
            process = await asyncio.create_subprocess_exec(program, *words, stdout=said, stderr=said, env=environment)
            try:
                await listening(process, port, folder / "said.out")
                yield Proxy(port=port, plain=plain, seen=seen, desk=desk, certificates=made, folder=folder)
            finally:
                with contextlib.suppress(ProcessLookupError):
                    process.terminate()
                await process.wait()


def render(
    kind: str, folder: Path, made: Certificates, switches: tuple[str, ...], *, port: int, plain: int, behind: int
) -> list[str]:
    """Write the configuration for this machine into `folder`: the words that start the proxy with it."""
    if kind == "nginx":
        return rendered_nginx(folder, made, switches, port=port, plain=plain, behind=behind)
    text = replaced(
        switched((DEPLOY / "Caddyfile").read_text("utf-8"), *switches),
        {
            "127.0.0.1:8080": f"127.0.0.1:{behind}",
            "/etc/caddy/tradingview-ca.pem": str(made["their-ca"]),
            "{\n\tservers {": f"{{\n\tadmin off\n\thttp_port {plain}\n\thttps_port {port}\n\tservers {{\n\t\tprotocols h1",
            f"{HOST} {{": f"{HOST} {{\n\tbind 127.0.0.1\n\ttls {made['server']} {made.key('server')}",
        },
    )
    if "client" in switches:
        own = f"\ttls {made['server']} {made.key('server')}\n"
        text = text.replace(own, "").replace("\ttls {", f"\ttls {made['server']} {made.key('server')} {{")
    (folder / "Caddyfile").write_text(text, "utf-8")
    return ["run", "--adapter", "caddyfile", "--config", str(folder / "Caddyfile")]


def rendered_nginx(folder: Path, made: Certificates, switches: tuple[str, ...], *, port: int, plain: int, behind: int) -> list[str]:
    text = replaced(
        switched((DEPLOY / "nginx.conf").read_text("utf-8"), *switches),
        {
            "127.0.0.1:8080": f"127.0.0.1:{behind}",
            "listen 80;": f"listen 127.0.0.1:{plain};",
            "listen 443 ssl;": f"listen 127.0.0.1:{port} ssl;",
            f"/etc/letsencrypt/live/{HOST}/fullchain.pem": str(made["server"]),
            f"/etc/letsencrypt/live/{HOST}/privkey.pem": str(made.key("server")),
            "/etc/nginx/tradingview-ca.pem": str(made["their-ca"]),
            "/var/log/nginx/": f"{folder}/",
            "/var/www/acme": str(folder),
        },
    )
    (folder / "enigma.conf").write_text(text, "utf-8")
    temporary = "".join(
        f"{name}_temp_path {folder}/{name}.body;\n" for name in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
    )
    (folder / "main.conf").write_text(
        f"daemon off;\nmaster_process off;\npid {folder}/nginx.pid;\nerror_log {folder}/start.log;\n"
        f"events {{ worker_connections 64; }}\nhttp {{\n{temporary}include {folder}/enigma.conf;\n}}\n",
        "utf-8",
    )
    return ["-e", str(folder / "start.log"), "-p", str(folder), "-c", str(folder / "main.conf")]


def replaced(text: str, words: Mapping[str, str]) -> str:
    """`text` with what belongs to this machine put in; everything replaced must be there."""
    for old, new in words.items():
        assert old in text or "tradingview-ca" in old, f"{old} is not in the configuration any more"
        text = text.replace(old, new)
    return text


def free_ports(count: int) -> list[int]:
    """Ports that nobody listens on."""
    with contextlib.ExitStack() as stack:
        sockets = [stack.enter_context(socket.socket()) for _ in range(count)]
        for each in sockets:
            each.bind(("127.0.0.1", 0))
        return [each.getsockname()[1] for each in sockets]


def can_send_from(here: str) -> bool:
    with socket.socket() as each:
        try:
            each.bind((here, 0))
        except OSError:
            return False
    return True


async def listening(process: asyncio.subprocess.Process, port: int, said: Path) -> None:
    """Wait until `process` takes connections at `port`; its own words where it ends instead."""
    for _ in range(500):
        if process.returncode is not None:
            pytest.fail(f"the proxy does not start: {said.read_text()[-1000:]}")
        with contextlib.suppress(OSError):
            _, writer = await asyncio.open_connection("127.0.0.1", port)
            writer.close()
            return
        await asyncio.sleep(0.02)
    pytest.fail("the proxy takes no connections")
