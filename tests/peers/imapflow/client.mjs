// A mail client on imapflow: reads, flags, copies, moves, deletes, appends, waits. Prints what it saw as JSON.
//
//     node client.mjs PORT USER PASSWORD CERTIFICATE

import { readFileSync } from "node:fs";

import { ImapFlow } from "imapflow";

const [port, user, pass, certificate] = process.argv.slice(2);
const client = new ImapFlow({
    host: "localhost",
    port: Number(port),
    secure: true,
    auth: { user, pass },
    tls: { ca: readFileSync(certificate) },
    logger: false,
    clientInfo: { name: "imapflow test" },
});
const saw = {};

await client.connect();
saw.capabilities = [...client.capabilities.keys()];
saw.enabled = [...client.enabled];

const lock = await client.getMailboxLock("INBOX");
try {
    saw.exists = client.mailbox.exists;
    saw.messages = [];
    for await (const message of client.fetch("1:*", {
        uid: true,
        flags: true,
        envelope: true,
        bodyStructure: true,
        internalDate: true,
        size: true,
        source: true,
    })) {
        saw.messages.push({
            uid: message.uid,
            subject: message.envelope.subject,
            from: message.envelope.from[0].address,
            type: message.bodyStructure.type,
            size: message.size,
            source: message.source.toString("base64"),
        });
    }
    saw.found = await client.search({ subject: "Zweite" }, { uid: true });
    const { content } = await client.download("1", "TEXT");
    saw.text = (await content.toArray()).join("");
    await client.messageFlagsAdd("1", ["\\Seen", "$Label1"]);

    await client.mailboxCreate("Entwürfe/Neue");
    saw.appended = await client.append("Entwürfe/Neue", "Subject: own\r\n\r\nhello\r\n", ["\\Draft"]);
    const copied = await client.messageCopy("2", "Entwürfe/Neue");
    saw.copied = [...copied.uidMap];
    const moved = await client.messageMove("3", "Entwürfe/Neue");
    saw.moved = [...moved.uidMap];
    await client.messageDelete("2");
    saw.left = client.mailbox.exists;
    saw.folders = (await client.list()).map((folder) => folder.path);
    saw.status = await client.status("Entwürfe/Neue", { messages: true, unseen: true, uidNext: true });

    // What comes while it idles.
    const arrived = new Promise((resolve) => client.once("exists", resolve));
    const idling = client.idle();
    console.log("idling");
    saw.arrived = (await arrived).count;
    await client.noop();
    await idling;
} finally {
    lock.release();
}
await client.logout();
console.log(JSON.stringify(saw, (_, value) => (typeof value === "bigint" ? Number(value) : value)));
