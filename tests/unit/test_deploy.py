"""What comes with the program for running it on a server: the proxies' configurations, the unit, and the two pages about them."""

from __future__ import annotations

import os
import re
import shlex
import shutil
import subprocess
from pathlib import Path

import click
import msgspec
import pytest

from enigma_core import cli

ROOT = Path(__file__).parents[2]
NGINX = (ROOT / "deploy" / "nginx.conf").read_text("utf-8")
CADDY = (ROOT / "deploy" / "Caddyfile").read_text("utf-8")
UNIT = (ROOT / "deploy" / "enigma.service").read_text("utf-8")
PAGES = {name: (ROOT / "docs" / name).read_text("utf-8") for name in ("reach.md", "alerts.md")}
TRADINGVIEW = ("52.89.214.238", "34.212.75.30", "54.218.53.128", "52.32.178.7")


def everything_on(text: str) -> str:
    """A configuration with all that can be switched on switched on, and without its remarks."""
    lines = re.sub(r"^([ \t]*)#: ", r"\1", text, flags=re.M).splitlines()
    return "\n".join(line for line in lines if not line.lstrip().startswith("#"))


def directives(text: str, name: str) -> list[list[str]]:
    """The arguments of every directive of nginx called `name`."""
    return [shlex.split(found) for found in re.findall(rf"^\s*{name}\s+([^;{{]*?)\s*[;{{]", text, re.M)]


NGINX_ON = everything_on(NGINX)
CADDY_ON = everything_on(CADDY)


def test_a15_nginx_verifies_the_chain_against_a_ca_of_its_own() -> None:
    assert directives(NGINX_ON, "ssl_verify_client") == [["optional"]]
    assert "optional_no_ca" not in NGINX
    ((ca,),) = directives(NGINX_ON, "ssl_client_certificate")
    assert ca.endswith("tradingview-ca.pem")
    assert directives(NGINX_ON, "ssl_verify_depth") == [["3"]]


def test_a15_a_subject_is_looked_at_only_together_with_the_verdict() -> None:
    uses = [line for line in NGINX_ON.splitlines() if "$ssl_client_s_dn" in line]
    (judged,) = [line for line in uses if not line.lstrip().startswith("'")]
    assert judged == 'map "$ssl_client_verify:$ssl_client_s_dn" $enigma_client {'
    inside = NGINX_ON[NGINX_ON.index(judged) :].partition("{")[2].partition("\n}")[0]
    default, *cases = [line.strip() for line in inside.strip().splitlines()]
    assert default == 'default "";'
    assert len(cases) == 2
    for case in cases:
        assert re.fullmatch(r'"~\^SUCCESS:CN=.*,C=US\$" tradingview;', case)
    # nothing else decides by the certificate
    assert not re.search(r"if\s*\([^)]*\$ssl_client", NGINX_ON)
    assert re.search(r'if \(\$enigma_gate = "tradingview:"\) \{\s*return 403;', NGINX_ON)


def test_a15_the_verdict_reaches_the_receiver_from_the_proxy_only() -> None:
    heads = dict(directives(NGINX_ON, "proxy_set_header"))
    assert heads["X-Client-Verified"] == "$enigma_client"
    assert heads["X-Forwarded-For"] == "$remote_addr"
    assert heads["X-Real-IP"] == heads["Forwarded"] == ""
    assert "$proxy_add_x_forwarded_for" not in NGINX
    assert "underscores_in_headers" not in NGINX


def test_a15_caddy_verifies_too() -> None:
    assert re.findall(r"^\s*mode (\S+)", CADDY_ON, re.M) == ["verify_if_given"]
    assert re.findall(r"trusted_ca_cert_file (\S+)", CADDY_ON) == ["/etc/caddy/tradingview-ca.pem"]
    stripped, given = CADDY_ON.index("request_header -X-Client-Verified"), CADDY_ON.index("X-Client-Verified tradingview\n\n")
    assert stripped < CADDY_ON.index("request_header @tradingview X-Client-Verified tradingview") < CADDY_ON.index("handle @alert")
    assert given
    assert "header_up X-Forwarded-For {remote_host}" in CADDY_ON
    assert "trusted_proxies" not in CADDY_ON


@pytest.mark.parametrize("text", [NGINX, CADDY], ids=["nginx", "Caddy"])
def test_what_depends_on_a_pinned_ca_is_off_until_somebody_has_pinned_it(text: str) -> None:
    as_it_comes = "\n".join(line for line in text.splitlines() if not line.lstrip().startswith("#"))
    assert "tradingview-ca.pem" not in as_it_comes
    assert "tradingview-ca.pem" in everything_on(text)


def test_only_alerts_are_passed_on_and_only_small_ones() -> None:
    assert len(directives(NGINX_ON, "proxy_pass")) == 1
    assert directives(NGINX_ON, "proxy_pass") == [["http://enigma/webhooks/$enigma_source$enigma_token"]]
    assert directives(NGINX_ON, "client_max_body_size") == [["16k"]]
    assert directives(NGINX_ON, "client_body_buffer_size") == [["16k"]]
    assert re.findall(r"reverse_proxy (\S+)", CADDY_ON) == ["127.0.0.1:8080"]
    assert re.findall(r"max_size (\S+)", CADDY_ON) == ["16KiB"]
    for text in (NGINX, CADDY):
        assert "0.0.0.0" not in text


def test_caddy_refuses_exactly_what_is_larger_than_a_message_may_be() -> None:
    (pattern,) = re.findall(r"@large header_regexp Content-Length (\S+)", CADDY_ON)
    for size in (*range(20_000), 99_999, 100_000, 123_456_789):
        assert bool(re.search(pattern, str(size))) is (size > 16_384), size


def test_no_token_gets_into_the_log_of_nginx() -> None:
    (form,) = re.findall(r"log_format enigma (.*?);", NGINX_ON, re.S)
    for name in ("request", "request_uri", "uri", "args", "http_referer", "http_authorization", "request_body"):
        assert not re.search(rf"\${name}\b", form)
    assert directives(NGINX_ON, "access_log") == [["off"], ["/var/log/nginx/enigma.log", "enigma"]]
    assert directives(NGINX_ON, "error_log") == [["/var/log/nginx/enigma.error.log", "emerg"]]


def test_the_addresses_are_those_tradingview_names() -> None:
    assert tuple(address for (address,) in directives(NGINX_ON, "allow")) == TRADINGVIEW
    assert directives(NGINX_ON, "deny") == [["all"]]
    (listed,) = re.findall(r"@outsiders not remote_ip (.*)", CADDY_ON)
    assert tuple(listed.split()) == TRADINGVIEW
    for text in PAGES["reach.md"], PAGES["alerts.md"]:
        assert set(re.findall(r"\b(?:52|34|54)\.\d+\.\d+\.\d+\b", text)) <= set(TRADINGVIEW)


def test_the_unit_runs_what_exists_and_may_write_to_one_folder() -> None:
    (line,) = re.findall(r"^ExecStart=(\S+) (.*)$", UNIT, re.M)
    assert line[0].endswith("/bin/enigma")
    typed(f"enigma {line[1]}")
    for setting in ("ProtectSystem=strict", "NoNewPrivileges=yes", "StateDirectory=enigma", "UMask=0077"):
        assert setting in UNIT.splitlines()
    assert "User=root" not in UNIT


def test_the_unit_starts_what_has_died_at_once_and_never_gives_up() -> None:
    for setting in ("Restart=always", "RestartSec=1", "StartLimitIntervalSec=0"):
        assert setting in UNIT.splitlines()


def test_systemd_understands_the_unit(tmp_path: Path) -> None:
    program = shutil.which("systemd-analyze")
    if program is None:
        pytest.skip("systemd is not installed")
    enigma = tmp_path / "enigma"
    enigma.write_text("#!/bin/sh\n")
    enigma.chmod(0o755)
    unit = tmp_path / "enigma.service"
    unit.write_text(re.sub(r"^ExecStart=\S+", f"ExecStart={enigma}", UNIT, flags=re.M))
    done = subprocess.run([program, "verify", "--man=no", str(unit)], capture_output=True, text=True, check=False, timeout=30)
    faults = [line for line in done.stderr.splitlines() if "enigma.service" in line]
    assert not faults


def test_caddy_understands_its_configuration(tmp_path: Path) -> None:
    program = shutil.which("caddy")
    if program is None:
        pytest.skip("caddy is not installed")
    done = subprocess.run(
        [program, "validate", "--adapter", "caddyfile", "--config", str(ROOT / "deploy" / "Caddyfile")],
        capture_output=True,
        text=True,
        check=False,
        timeout=30,
        env={**os.environ, "HOME": str(tmp_path), "XDG_DATA_HOME": str(tmp_path), "XDG_CONFIG_HOME": str(tmp_path)},
    )
    assert done.returncode == 0, done.stderr


# ---- the pages


def commands(page: str) -> list[str]:
    """Every ``enigma ...`` line of a page's shell blocks and of what it shows as typed."""
    blocks = re.findall(r"^```(?:sh|text|console)\n(.*?)^```$", page, re.S | re.M)
    found = []
    for block in blocks:
        for line in block.replace("\\\n", " ").splitlines():
            for part in re.split(r"&&|\|", line.partition("  #")[0]):
                words = re.sub(r"^(\$ |> )?(sudo (-u \w+ )?)?(\w+=\S+ )*(\S*/bin/)?", "", part.strip())
                if words.startswith("enigma "):
                    found.append(words)
    return found


def typed(line: str) -> None:
    """Parse a command line as `enigma` would, without doing anything."""
    args = shlex.split(re.sub(r"\s[<>]\s*\S+", "", line))[1:]
    command: click.Command = cli.root
    context = click.Context(command)
    while isinstance(command, click.Group):
        found = command.get_command(context, args[0])
        assert found is not None, f"there is no command {args[0]}"
        command, args = found, args[1:]
    command.make_context(line, args)


@pytest.mark.parametrize("line", sorted({line for page in PAGES.values() for line in commands(page)}))
def test_every_command_the_pages_show_can_be_typed(line: str) -> None:
    typed(line)


@pytest.mark.parametrize("page", PAGES)
def test_every_setting_the_pages_name_exists(page: str) -> None:
    from enigma_webhooks.service import Source, TradingView

    known = {*(f.name for f in msgspec.structs.fields(TradingView)), *(f.name for f in msgspec.structs.fields(Source))}
    named = re.findall(r"services\.tradingview\.(?:sources\.\w+\.)?(\w+)", PAGES[page])
    assert named
    assert set(named) <= known


@pytest.mark.parametrize(
    ("page", "target"), [(page, target) for page, text in PAGES.items() for target in re.findall(r"\]\(([^)#]+)\)", text)]
)
def test_links_of_the_pages_lead_somewhere(page: str, target: str) -> None:
    assert (ROOT / "docs" / target).exists()
