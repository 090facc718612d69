"""The snippets of the API reference run as they are printed, but for address, key and how a client is installed."""

import subprocess
import sys

import pytest
from callers import GO, installed
from operations import SDK

pytestmark = [pytest.mark.flow, pytest.mark.peer]

PYTHON = """
from stalwart import StalwartClient

client = StalwartClient(
    base_url='https://mail.example.com',
    api_key='your_api_key'
)

# 获取系统指标
metrics = client.metrics.get_system_metrics()

# 获取健康状态
health = client.health.get_status()
"""

JAVASCRIPT = """
import { StalwartClient } from '@stalwart/mail-server-sdk';

const client = new StalwartClient({
  baseUrl: 'https://mail.example.com',
  apiKey: 'your_api_key'
});

// 获取服务器信息
const serverInfo = await client.server.getInfo();

// 创建用户
const user = await client.users.create({
  username: 'john.doe',
  email: 'john.doe@example.com',
  password: 'secure_password'
});
"""

# As printed it does not compile: `log` is not imported, and `users` is not used.
GO_SNIPPET = """
package main

import (
    "github.com/stalwartlabs/stalwart-go-sdk"
)

func main() {
    client := stalwart.NewClient("https://mail.example.com", "your_api_key")
    
    // 获取用户列表
    users, err := client.Users.List(&stalwart.UserListOptions{
        Page:  1,
        Limit: 50,
    })
    if err != nil {
        log.Fatal(err)
    }
}
"""  # noqa: W293 - as printed

GO_MODULE = f"""
module snippet

go 1.19

require github.com/stalwartlabs/stalwart-go-sdk v0.0.0

replace github.com/stalwartlabs/stalwart-go-sdk => {SDK}/go/alias

replace a3mailer.internal/sdk => {SDK}/go
"""


def run(command, where, environment=None):
    done = subprocess.run(command, cwd=where, env=environment, capture_output=True, text=True, check=False, timeout=240)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def here(snippet, server):
    """A snippet with this server's address, key and domain."""
    return (
        snippet.replace("https://mail.example.com", server.url)
        .replace("your_api_key", server.key)
        .replace("@example.com", f"@{server.domain}")
    )


def test_the_python_snippet_runs(mail_server, tmp_path):
    (tmp_path / "snippet.py").write_text(here(PYTHON, mail_server) + "print(metrics.cpu_usage, health.status)\n")
    said = run([sys.executable, "snippet.py"], tmp_path, {"PYTHONPATH": str(SDK / "python" / "src")})
    assert said.split()[1] in {"healthy", "degraded"}


def test_the_javascript_snippet_runs(mail_server, tmp_path):
    (tmp_path / "snippet.mjs").write_text(
        here(JAVASCRIPT, mail_server) + "console.log(serverInfo.hostname, user.id);\n"
    )
    # What `npm install ./sdk/javascript ./sdk/javascript/alias` does; npm itself is large, and not in CI.
    modules = tmp_path / "node_modules"
    (modules / "@stalwart").mkdir(parents=True)
    (modules / "a3mailer-sdk").symlink_to(SDK / "javascript")
    (modules / "@stalwart" / "mail-server-sdk").symlink_to(SDK / "javascript" / "alias")
    hostname, user = run([installed("node"), "snippet.mjs"], tmp_path).split()
    assert hostname == f"mail.{mail_server.domain}"
    assert user.startswith("user_")


def test_the_go_snippet_runs(mail_server, tmp_path):
    snippet = here(GO_SNIPPET, mail_server)
    snippet = snippet.replace("import (\n", 'import (\n    "fmt"\n    "log"\n')
    snippet = snippet.replace(
        "        log.Fatal(err)\n    }\n", "        log.Fatal(err)\n    }\n    fmt.Println(users.Limit)\n"
    )
    (tmp_path / "main.go").write_text(snippet)
    (tmp_path / "go.mod").write_text(GO_MODULE)
    assert run([installed("go"), "run", "."], tmp_path, GO) == "50\n"
