// Calls the admin API as whoever is signed in. Everything that goes wrong is a `Problem`.

const BASE = "/admin/v1";
const TIMEOUT_SECONDS = 30;

let csrf = null;
let onSignedOut = () => {};

export function rememberCsrf(token) {
  csrf = token;
}

// `listener` is called when the session turns out to be over.
export function whenSignedOut(listener) {
  onSignedOut = listener;
}

// What went wrong, as RFC 9457 says it: `status` is 0 when nobody answered.
export class Problem extends Error {
  constructor(status, body = {}, retryAfter = null) {
    super(body.detail || body.title || "Something went wrong.");
    this.status = status;
    this.code = body.code || "";
    this.detail = this.message;
    this.requestId = body.request_id || "";
    this.errors = body.errors || [];
    this.retryAfter = retryAfter;
    this.body = body;
  }

  // What is wrong with one field of the body.
  about(pointer) {
    return this.errors.filter(
      (each) => each.pointer === pointer || each.pointer.startsWith(`${pointer}/`),
    );
  }
}

export const isAborted = (error) => error instanceof DOMException && error.name === "AbortError";

// Sends one request. `refresh` marks what a page asks for by itself: it keeps no session alive.
async function send(
  method,
  path,
  { query, body, headers = {}, signal, refresh = false, raw = false } = {},
) {
  const url = new URL(path.startsWith("/dashboard") ? path : BASE + path, location.origin);
  for (const [name, value] of Object.entries(query ?? {})) {
    if (value !== undefined && value !== null && value !== "") url.searchParams.set(name, value);
  }
  const fields = { Accept: "application/json", ...headers };
  if (body !== undefined) fields["Content-Type"] = "application/json";
  if (method !== "GET" && csrf) fields["X-CSRF-Token"] = csrf;
  if (refresh) fields["X-Refresh"] = "1";
  const timeout = AbortSignal.timeout(TIMEOUT_SECONDS * 1000);
  let response;
  try {
    response = await fetch(url, {
      method,
      headers: fields,
      body: body === undefined ? undefined : JSON.stringify(body),
      credentials: "same-origin",
      cache: "no-store",
      redirect: "error",
      signal: signal ? AbortSignal.any([signal, timeout]) : timeout,
    });
    if (raw && response.ok) return response;
    const text = await response.text();
    const answer = text ? JSON.parse(text) : {};
    if (response.ok) return { answer, response };
    throw new Problem(response.status, answer, Number(response.headers.get("Retry-After")) || null);
  } catch (error) {
    if (signal?.aborted) throw new DOMException("left the page", "AbortError");
    if (!(error instanceof Problem)) throw unreachable(response);
    if (error.status === 401 && !path.startsWith("/dashboard")) onSignedOut(error);
    throw error;
  }
}

function unreachable(response) {
  const status = response?.status ?? 0;
  const detail = response
    ? "The answer could not be read."
    : "The gateway does not answer. Is it running?";
  return new Problem(status, { detail, code: "unreachable" });
}

const only = async (promise) => (await promise).answer;

export const get = (path, query, options) => only(send("GET", path, { query, ...options }));
export const post = (path, body = {}, options) => only(send("POST", path, { body, ...options }));
export const patch = (path, body, options) => only(send("PATCH", path, { body, ...options }));
export const remove = (path, body, options) => only(send("DELETE", path, { body, ...options }));

// A file, such as an export, as a blob.
export async function blob(path, query, options) {
  const response = await send("GET", path, {
    query,
    raw: true,
    headers: { Accept: "*/*" },
    ...options,
  });
  return response.blob();
}

// The answer, or `instead` where there is no such route or nothing is kept for it: a part that is switched off.
export async function optional(promise, instead = null) {
  try {
    return await promise;
  } catch (error) {
    if (error instanceof Problem && (error.status === 404 || error.status === 409)) return instead;
    throw error;
  }
}

// All entries of a list, page by page, but never more than `max`.
export async function all(path, query = {}, { max = 5000, ...options } = {}) {
  const data = [];
  let cursor;
  do {
    const page = await get(path, { limit: 1000, ...query, cursor }, options);
    data.push(...page.data);
    cursor = page.next_cursor;
  } while (cursor && data.length < max);
  return data.slice(0, max);
}

// A key for requests that must not be carried out twice, also when the answer is lost.
export const idempotencyKey = () =>
  crypto.randomUUID?.() ?? [...crypto.getRandomValues(new Uint8Array(16))].join("-");
