// OpenAI's JavaScript client as a program: a line of JSON asks for a call, a line answers.
// openai_client.py does the same in Python.

import { createInterface } from "node:readline";
import { pathToFileURL } from "node:url";

const [folder, baseURL, apiKey] = process.argv.slice(2);
const { default: OpenAI } = await import(pathToFileURL(`${folder}/index.mjs`));
const client = new OpenAI({ baseURL, apiKey, logLevel: "off" });

async function answer(asked) {
  const path = asked.method.split(".");
  const method = path.pop();
  const resource = path.reduce((object, name) => object[name], client);
  const options = {
    headers: asked.headers,
    timeout: asked.timeout_s * 1000,
    maxRetries: asked.max_retries,
  };
  const given = [asked.body, options].slice(method === "list" ? 1 : 0);
  const { data, response } = await resource[method](...given).withResponse();
  const headers = Object.fromEntries(response.headers);
  if (!asked.body.stream) return { headers, answer: method === "list" ? data.body ?? data : data };
  const events = [];
  for await (const event of data) events.push(event);
  return { headers, events };
}

function problem(error) {
  return {
    error: {
      kind: error.constructor.name,
      status: error.status ?? null,
      message: error.message,
      code: error.code ?? null,
      param: error.param ?? null,
      type: error.type ?? null,
      request_id: error.requestID ?? null,
    },
  };
}

for await (const line of createInterface({ input: process.stdin })) {
  let said;
  try {
    said = await answer(JSON.parse(line));
  } catch (error) {
    if (!(error instanceof OpenAI.APIError)) throw error;
    said = problem(error);
  }
  process.stdout.write(`${JSON.stringify(said)}\n`);
}
