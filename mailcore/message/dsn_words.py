"""What a delivery status notification says to people, in English and in Simplified Chinese.

Not by gettext: a notification is made of facts alone, and its reader is not whoever runs the server.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from mailcore.message.dsn_actions import Action


@dataclass(frozen=True, slots=True)
class Words:
    """The texts of one language. ``reasons`` by enhanced status code without its class; the longest one counts."""

    sender: str
    subjects: Mapping[Action, str]
    explanations: Mapping[Action, str]  # lines
    reasons: Mapping[str, str]
    this_is: str
    said: str
    status: str
    until: str
    whole: str
    header: str
    details: str

    def reason(self, status: str) -> str:
        """Return in plain words what a status code means; empty where a code says too little (RFC 3463)."""
        _class, _dot, rest = status.partition(".")
        return self.reasons.get(rest) or self.reasons.get(rest.partition(".")[0], "")


ENGLISH: Final = Words(
    sender="Mail Delivery System",
    subjects={
        Action.FAILED: "Undelivered mail: your message could not be delivered",
        Action.DELAYED: "Delayed mail: your message has not been delivered yet",
        Action.DELIVERED: "Delivered mail: your message has arrived",
        Action.RELAYED: "Relayed mail: your message was passed on",
        Action.EXPANDED: "Delivered mail: your message was passed on to several addresses",
    },
    explanations={
        Action.FAILED: "Your message could not be delivered to the following recipients.\nIt will not be tried again.",
        Action.DELAYED: "Your message has not been delivered to the following recipients yet.\n"
        "You do not need to send it again: it is still being tried.",
        Action.DELIVERED: "Your message was delivered to the following recipients.",
        Action.RELAYED: "Your message was passed on to a mail server that does not confirm\n"
        "delivery, for the following recipients. No further report will come.",
        Action.EXPANDED: "Your message was delivered to the following addresses, which pass\nit on to several others.",
    },
    reasons={
        "1.1": "There is no such mailbox. Look for a mistake in the address.",
        "1.2": "There is no such domain. Look for a mistake behind the @.",
        "1.3": "This is not a valid address.",
        "1.6": "The mailbox has moved, and left no new address.",
        "1.10": "This domain takes no mail at all.",
        "2.1": "The mailbox is disabled.",
        "2.2": "The mailbox is full.",
        "2.3": "The message is larger than this mailbox takes.",
        "3.4": "The message is larger than the other server takes.",
        "4.1": "The other mail server cannot be reached, or does not answer.",
        "4.2": "The connection to the other mail server was lost.",
        "4.3": "The address of the other mail server could not be found out.",
        "4.4": "The other domain has no mail server that can be found.",
        "4.6": "The message goes in circles between mail servers.",
        "4.7": "The time for trying is over.",
        "6": "The other server cannot take a message of this form.",
        "7": "The other server refuses the message by its rules.",
        "7.30": "The message asks for protection that the other server cannot prove.",
    },
    this_is="This is the mail server {host}.",
    said="{host} said:",
    status="Status: {status}",
    until="It will be tried until {time}.",
    whole="The message follows.",
    header="The header of your message follows.",
    details="Details for mail administrators are in the second part of this report.",
)

CHINESE: Final = Words(
    sender="邮件投递系统",
    subjects={
        Action.FAILED: "退信：您的邮件未能送达",
        Action.DELAYED: "延迟通知：您的邮件尚未送达",
        Action.DELIVERED: "送达通知：您的邮件已送达",
        Action.RELAYED: "转发通知：您的邮件已转交",
        Action.EXPANDED: "送达通知：您的邮件已转给多个地址",
    },
    explanations={
        Action.FAILED: "您的邮件未能送达以下收件人，系统不会再次尝试。",
        Action.DELAYED: "您的邮件尚未送达以下收件人。\n系统仍在尝试，您无需重新发送。",
        Action.DELIVERED: "您的邮件已送达以下收件人。",
        Action.RELAYED: "您的邮件已转交给不提供送达确认的邮件服务器，收件人如下。\n不会再有后续通知。",
        Action.EXPANDED: "您的邮件已送达以下地址，并由其转发给多个收件人。",
    },
    reasons={
        "1.1": "该邮箱不存在，请检查地址是否有误。",
        "1.2": "该域名不存在，请检查 @ 之后的部分。",
        "1.3": "该地址无效。",
        "1.6": "该邮箱已迁移，且没有留下新地址。",
        "1.10": "该域名不接收任何邮件。",
        "2.1": "该邮箱已停用。",
        "2.2": "该邮箱已满。",
        "2.3": "邮件超过该邮箱允许的大小。",
        "3.4": "邮件超过对方服务器允许的大小。",
        "4.1": "无法连接对方邮件服务器，或对方没有响应。",
        "4.2": "与对方邮件服务器的连接中断。",
        "4.3": "无法查询到对方邮件服务器的地址。",
        "4.4": "找不到对方域名的邮件服务器。",
        "4.6": "邮件在服务器之间循环转发。",
        "4.7": "已超过尝试投递的期限。",
        "6": "对方服务器无法接收这种格式的邮件。",
        "7": "对方服务器按其规则拒收此邮件。",
        "7.30": "邮件要求的安全保护，对方服务器无法证明。",
    },
    this_is="这里是邮件服务器 {host}。",
    said="{host} 的答复：",
    status="状态码：{status}",
    until="系统将尝试投递至 {time}。",
    whole="以下是您的邮件。",
    header="以下是您的邮件的邮件头。",
    details="供邮件管理员参考的详细信息见本报告的第二部分。",
)

# By the language of the server. English comes last for who reads no other.
LANGUAGES: Final[Mapping[str, tuple[Words, ...]]] = {"en": (ENGLISH,), "zh-hans": (CHINESE, ENGLISH)}


def in_language(language: str) -> tuple[Words, ...]:
    """Return the languages of a notification, the reader's own first."""
    return LANGUAGES.get(language.lower(), (ENGLISH,))
