"""The languages in which the POP3 server says its sentences (RFC 6856 section 3), and the sentences.

A reply is written in English (``replies.py``); it is translated when it is sent, and only for a session that asked.
Status and response code are for programs and stay as they are, and so do capabilities and lists.
"""

import re

# i-default is English that everybody may have to read (RFC 2277 section 4.5): what is spoken until somebody asks.
DEFAULT = "i-default"
# Tag, and what the language is called in itself.
LANGUAGES = {DEFAULT: "Default (English)", "en": "English", "zh": "中文"}

_CHINESE = {
    "POP3 ready": "POP3 服务就绪",
    "Bye": "再见",
    "Now the password": "请发送密码",
    "Begin TLS": "开始 TLS",
    "UTF-8 it is": "已启用 UTF-8",
    "Languages": "可用语言",
    "Responses are in English now": "现在使用中文",
    "Unknown command": "未知命令",
    "Wrong argument": "参数错误",
    "Line too long": "行太长",
    "Log in first": "请先登录",
    "You are logged in already": "您已经登录",
    "Say USER first": "请先发送 USER",
    "Say STLS first: passwords are taken over TLS only": "请先发送 STLS：只通过 TLS 接受密码",
    "TLS is active already": "TLS 已启用",
    "No TLS here": "此处不支持 TLS",
    "No such language": "不支持这种语言",
    "Unknown authentication mechanism": "未知的认证机制",
    "Cannot decode this response": "无法解码此响应",
    "Authentication cancelled": "认证已取消",
    "Wrong login or password": "登录名或密码错误",
    "Cannot check logins now, try again later": "暂时无法验证登录，请稍后再试",
    "Another session has this maildrop": "邮箱正被另一个会话使用",
    "This account has been deleted": "此帐号已被删除",
    "Temporary trouble here, try again later": "服务器暂时有问题，请稍后再试",
    "The messages could not be deleted": "无法删除邮件",
    "No such message": "没有这封邮件",
    "This server is going down, try again soon": "服务器即将关闭，请稍后再试",
    "This is a mail server": "这是邮件服务器",
    "%d messages (%d octets)": "%d 封邮件（%d 字节）",
    "%d octets": "%d 字节",
}
_SENTENCES = {"zh": _CHINESE}

_REPLY = re.compile(r"(\+OK|-ERR)( \[[^]]*\])?(?: (.+))?", re.DOTALL)
_NUMBER = re.compile(r"\d+")


def find(wanted: str) -> str | None:
    """Return the tag of the language that fits a language range best (RFC 4647 section 3.4, lookup), or ``None``."""
    if wanted == "*":
        return DEFAULT
    tags = {tag.lower(): tag for tag in LANGUAGES}
    subtags = wanted.lower().split("-")
    while subtags:
        if found := tags.get("-".join(subtags)):
            return found
        subtags.pop()
    return None


def translate(reply: bytes, language: str) -> bytes:
    """Return a reply in a language; what has no words in it, or none that we know, stays as it is."""
    sentences = _SENTENCES.get(language)
    match = _REPLY.fullmatch(reply.decode()) if sentences is not None else None
    if sentences is None or match is None or match[3] is None:
        return reply
    translated = sentences.get(match[3])
    if translated is None:
        pattern = sentences.get(_NUMBER.sub("%d", match[3]))
        translated = match[3] if pattern is None else pattern % tuple(map(int, _NUMBER.findall(match[3])))
    return f"{match[1]}{match[2] or ''} {translated}".encode()
