/** Makes the calls that stand on standard input, one a line, and writes what came of each. */

import { createInterface } from "node:readline";

import { A3MailerClient, APIError } from "../../sdk/javascript/src/index.mjs";

const camel = (name) => name.replace(/_(\w)/g, (_all, letter) => letter.toUpperCase());
const [baseUrl, apiKey] = process.argv.slice(2);

async function called({ operation, arguments: given, options, key = apiKey }) {
  const client = new A3MailerClient({ baseUrl, apiKey: key });
  const [group, method] = operation.split(".");
  const named = Object.fromEntries(Object.entries(options).map(([name, value]) => [camel(name), value]));
  const answer = client[group][camel(method)](...given, ...(Object.keys(named).length ? [named] : []));
  if (method.startsWith("iterate")) {
    const rows = [];
    for await (const row of answer) rows.push(row);
    return { answer: rows };
  }
  return { answer: await answer, etag: (await answer)?.etag ?? null };
}

for await (const line of createInterface({ input: process.stdin })) {
  let outcome;
  try {
    outcome = await called(JSON.parse(line));
  } catch (error) {
    if (!(error instanceof APIError)) throw error;
    const { status, code, message, details, fields, requestId, retryAfter } = error;
    const kind = error.name.replace("Error", "");
    outcome = { error: { kind, status, code, message, details, fields, request_id: requestId, retry_after: retryAfter } };
  }
  console.log(JSON.stringify(outcome));
}
