/** The client says on the wire what the description says, and keeps its promises about errors and retries. */

import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { readFileSync } from "node:fs";
import { createServer } from "node:http";
import { createRequire } from "node:module";
import { after, test } from "node:test";

import * as sdk from "../src/index.mjs";
import { pauseAfter, retryAfter } from "../src/retries.mjs";

const file = (name) => new URL(name, import.meta.url);
const OPERATIONS = JSON.parse(readFileSync(file("../../operations.json"), "utf8"));
const QUICK = { firstPause: 1 };
const camel = (name) => name.replace(/_(\w)/g, (_all, letter) => letter.toUpperCase());
const servers = [];
after(() => {
  for (const server of servers) {
    server.close();
    server.closeAllConnections();
  }
});

/** A server that gives these answers in turn (the last one holds on), and keeps what it was asked. */
async function serving(...answers) {
  const asked = [];
  const server = createServer(async (request, response) => {
    let body = "";
    for await (const part of request) body += part;
    asked.push({ method: request.method, url: request.url, headers: request.headers, body });
    const answer = answers.length > 1 ? answers.shift() : answers[0];
    const [status, value, headers = {}] = typeof answer === "function" ? answer(request) : answer;
    if (status === "gone") return request.socket.destroy();
    if (status === "silent") return undefined;
    response.writeHead(status, headers);
    return response.end(value === undefined ? "" : typeof value === "string" ? value : JSON.stringify(value));
  });
  servers.push(server);
  await new Promise((resolve) => server.listen(0, "127.0.0.1", resolve));
  const baseUrl = `http://127.0.0.1:${server.address().port}`;
  return { asked, client: (settings) => new sdk.A3MailerClient({ baseUrl, apiKey: "key", ...QUICK, ...settings }) };
}

const error = (code = "A_WORD", more = {}) => ({ error: { code, message: "No.", details: "", request_id: "req_1", ...more } });

/** Call an operation as its sample says. */
function called(client, { operation, arguments: given }) {
  const [group, method] = operation.split(".");
  return client[group][camel(method)](...given);
}

for (const operation of OPERATIONS) {
  test(`${operation.operation} is on the wire what the description says`, async () => {
    const { asked, client } = await serving([operation.status, operation.answer]);
    const answer = await called(client(), operation);
    const [request] = asked;
    const names = operation.arguments.filter((one) => typeof one === "string");
    const target = operation.path.replace(/{\w+}/g, () => encodeURIComponent(names.shift()));
    const url = new URL(request.url, "http://a.example");
    const query = Object.fromEntries(Object.entries(operation.query ?? {}).map(([name, value]) => [name, String(value)]));
    assert.equal(request.method, operation.method);
    assert.equal(url.pathname, target);
    assert.deepEqual(Object.fromEntries(url.searchParams), query);
    if (operation.content) assert.equal(request.body, operation.content);
    else assert.deepEqual(request.body ? JSON.parse(request.body) : undefined, operation.body);
    assert.equal("idempotency-key" in request.headers, operation.method === "POST");
    assert.equal(request.headers.authorization, "Bearer key");
    assert.match(request.headers["user-agent"], /^a3mailer-sdk-javascript/);
    assert.deepEqual(answer, operation.answer ?? null);
  });
}

test("the client and its types have the operations of the description and no others", async () => {
  const wanted = OPERATIONS.map(({ operation }) => camel(operation)).sort();
  const walks = OPERATIONS.filter(({ query }) => query?.page).map(({ operation }) =>
    camel(operation.replace(/\.(list|search)/, ".iterate")),
  );
  const client = new sdk.A3MailerClient({ baseUrl: "https://a.example" });
  const groups = Object.entries(client).filter(([, value]) => typeof value === "object");
  const surface = groups.flatMap(([name, group]) => Object.keys(group).map((method) => `${name}.${method}`));
  assert.deepEqual(surface.sort(), [...wanted, ...walks].sort());
  const types = readFileSync(file("../index.d.ts"), "utf8");
  const typed = [...types.matchAll(/^ {2}readonly (\w+): \{\n([^]*?)^ {2}\};/gm)].flatMap(([, name, body]) =>
    [...body.matchAll(/^ {4}(\w+)[(:]/gm)].map(([, method]) => `${name}.${method}`),
  );
  assert.deepEqual(typed.sort(), surface.sort());
});

test("require gives what import gives", () => {
  assert.equal(spawnSync(process.execPath, ["build.mjs", "--check"], { cwd: file(".."), stdio: "inherit" }).status, 0);
  const required = createRequire(import.meta.url)("../commonjs/index.cjs");
  assert.deepEqual(Object.keys(required).sort(), Object.keys(sdk).sort());
});

test("the alias of the reference's import name is the same client", async () => {
  const alias = await import("../alias/index.mjs");
  assert.equal(alias.StalwartClient, sdk.A3MailerClient);
  assert.equal(typeof createRequire(import.meta.url)("../alias/index.cjs").StalwartClient, "function");
});

const KINDS = {
  400: "InvalidRequestError",
  401: "UnauthorizedError",
  403: "ForbiddenError",
  404: "NotFoundError",
  405: "APIError",
  409: "ConflictError",
  412: "PreconditionFailedError",
  429: "RateLimitedError",
  500: "InternalError",
  502: "ServiceUnavailableError",
  503: "ServiceUnavailableError",
  504: "ServiceUnavailableError",
};
for (const [status, kind] of Object.entries(KINDS)) {
  test(`${status} is an ${kind}`, async () => {
    const { client } = await serving([Number(status), error("A_WORD", { details: "Why.", fields: { email: ["No."] } })]);
    const caught = await client({ maxRetries: 0 }).server.getInfo().catch((one) => one);
    assert.equal(caught.constructor, sdk[kind]);
    assert.equal(caught.name, kind);
    const { code, details, fields, requestId, message } = caught;
    assert.deepEqual({ status: caught.status, code, details, fields, requestId }, {
      status: Number(status), code: "A_WORD", details: "Why.", fields: { email: ["No."] }, requestId: "req_1",
    });
    assert.equal(message, `${status} A_WORD: No.: Why.`);
  });
}

for (const body of ["<html>", "", "[]", '{"error":"no"}', '{"error":null}']) {
  test(`502 with ${JSON.stringify(body)} of something between is an error too`, async () => {
    const { client } = await serving([502, body]);
    await assert.rejects(client({ maxRetries: 0 }).server.getInfo(), sdk.ServiceUnavailableError);
  });
}

for (const failure of [[429, error()], [503, error()], ["gone"]]) {
  for (const method of ["GET", "POST", "PUT", "DELETE"]) {
    test(`${method} that ends in ${failure[0]} is tried again with one idempotency key`, async () => {
      const { asked, client } = await serving(failure, failure, failure, [200, {}]);
      await called(client(), OPERATIONS.find((operation) => operation.method === method));
      assert.equal(asked.length, 4);
      assert.equal(new Set(asked.map(({ headers }) => headers["idempotency-key"])).size, 1);
    });
  }
}

for (const status of [302, 400, 401, 403, 404, 409, 412, 500]) {
  test(`${status} is not tried again`, async () => {
    const { asked, client } = await serving([status, error(), status === 302 ? { Location: "/elsewhere" } : {}]);
    await assert.rejects(client().server.getInfo(), sdk.APIError);
    assert.equal(asked.length, 1);
  });
}

test("pauses grow, are a little random and end", () => {
  const settings = { maxRetries: 3, firstPause: 500, longestPause: 1500 };
  const failure = new sdk.ConnectionFailedError("no");
  for (const [tries, low, high] of [[1, 250, 500], [2, 500, 1000], [3, 750, 1500]]) {
    const pause = pauseAfter(tries, failure, settings);
    assert.ok(low <= pause && pause <= high, `${tries}: ${pause}`);
  }
  assert.equal(pauseAfter(4, failure, settings), null);
  assert.equal(pauseAfter(1, new sdk.RateLimitedError(429, {}, 1), settings), 1000);
  assert.equal(pauseAfter(1, new sdk.RateLimitedError(429, {}, 2), settings), null);
  assert.equal(pauseAfter(1, new sdk.ConflictError(409, {}), settings), null);
  assert.equal(pauseAfter(1, new sdk.ConflictError(409, {}, 1), settings), 1000);
});

test("Retry-After is seconds or a date", () => {
  const now = Date.parse("2024-01-15T10:30:00Z");
  const table = [
    [null, null], ["", null], ["7", 7], ["0", 0], ["-1", null], ["soon", null], ["Soon 7", null],
    ["Mon, 15 Jan 2024 10:30:30 GMT", 30], ["Mon, 15 Jan 2024 10:29:00 GMT", 0],
  ];
  for (const [text, seconds] of table) assert.equal(retryAfter(text, now), seconds, String(text));
});

test("a server that says when is taken at its word", async () => {
  const { asked, client } = await serving([429, error(), { "Retry-After": "1" }], [200, {}]);
  const start = Date.now();
  await client().server.getInfo();
  assert.equal(asked.length, 2);
  assert.ok(Date.now() - start >= 990);
});

test("a slow server ends in TimedOutError, and a caller can stop waiting", async () => {
  const { client } = await serving(["silent"]);
  await assert.rejects(client({ timeout: 50, maxRetries: 1 }).server.getInfo(), sdk.TimedOutError);
  const stop = new AbortController();
  setTimeout(() => stop.abort(), 50);
  await assert.rejects(client().server.getInfo({ signal: stop.signal }), { name: "AbortError" });
  await assert.rejects(client().server.getInfo({ signal: stop.signal }), { name: "AbortError" });
});

test("an unhealthy server is an answer, and one that is away is an error", async () => {
  const { asked, client } = await serving([503, { status: "unhealthy" }]);
  assert.equal((await client().health.getStatus()).status, "unhealthy");
  assert.equal(asked.length, 1);
  const away = await serving([503, error("SERVICE_UNAVAILABLE")]);
  await assert.rejects(away.client().health.getStatus(), sdk.ServiceUnavailableError);
});

test("options become headers, and an answer has its etag beside its members", async () => {
  const { asked, client } = await serving([200, { id: "user_1" }, { ETag: '"7"' }]);
  const user = await client({ language: "zh-Hans" }).users.get("user_1", { requestId: "r-1" });
  assert.equal(user.etag, '"7"');
  assert.deepEqual(Object.keys(user), ["id"]);
  await client().users.update("user_1", { quota: 1 }, { ifMatch: user.etag });
  await client().users.restore("user_1", { idempotencyKey: "k-1" });
  assert.equal(asked[0].headers["accept-language"], "zh-Hans");
  assert.equal(asked[0].headers["x-request-id"], "r-1");
  assert.equal(asked[1].headers["if-match"], '"7"');
  assert.equal(asked[2].headers["idempotency-key"], "k-1");
});

test("an option cannot become another header", async () => {
  const { asked, client } = await serving([200, {}]);
  for (const options of [{ requestId: "a\r\nX: b" }, { language: "a\nb" }, { ifMatch: "a\0b" }]) {
    await assert.rejects(client().server.getInfo(options), TypeError);
  }
  assert.equal(asked.length, 0);
});

test("a walk goes through all pages", async () => {
  const { client } = await serving((request) => {
    const page = Number(new URL(request.url, "http://a.example").searchParams.get("page"));
    const users = [1, 2, 3, 4, 5, 6, 7].map((n) => ({ id: `user_${n}` })).slice((page - 1) * 3, page * 3);
    return [200, { users, total: 7, page, limit: 3 }];
  });
  const found = [];
  for await (const user of client().users.iterate({ limit: 3 })) found.push(user.id);
  assert.deepEqual(found, [1, 2, 3, 4, 5, 6, 7].map((n) => `user_${n}`));
});

test("a name stays in its segment", async () => {
  const { asked, client } = await serving([204]);
  for (const name of ["", ".", "..", undefined, null, 7]) assert.throws(() => client().users.delete(name), TypeError);
  await client().security.unblockIp("2001:db8::/32");
  assert.deepEqual(asked.map(({ url }) => url), ["/api/v1/security/blocked-ips/2001%3Adb8%3A%3A%2F32"]);
});

test("a key is not sent in clear text to another machine, nor printed", () => {
  for (const baseUrl of ["http://mail.example.com", "http://127.0.0.1.evil.example", "ftp://a.example", "a.example", ""]) {
    assert.throws(() => new sdk.A3MailerClient({ baseUrl, apiKey: "k" }), TypeError, baseUrl);
  }
  for (const baseUrl of ["http://127.0.0.1:1", "http://localhost", "http://[::1]", "https://a.example"]) {
    assert.ok(!JSON.stringify(new sdk.A3MailerClient({ baseUrl, apiKey: "s3cret" })).includes("s3cret"));
  }
});
