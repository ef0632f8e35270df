// Who is signed in, and what they may do.

import { get, post, remove, rememberCsrf } from "./api.js";

const PATH = "/dashboard/session";

// Which roles have a right, for whoever lacks it.
const ROLES = {
  read: "viewer, auditor, operator or admin",
  audit: "auditor, operator or admin",
  operate: "operator or admin",
  administer: "admin",
};

let current = null;

export const session = () => current;

// Returns who is signed in, or null.
export async function resume() {
  return keep((await get(PATH)).session);
}

export async function signIn(token) {
  return keep(await post(PATH, { token }));
}

export async function signOut() {
  try {
    await remove(PATH);
  } finally {
    keep(null);
  }
}

export function forget() {
  keep(null);
}

function keep(found) {
  current = found;
  rememberCsrf(found?.csrf ?? null);
  return found;
}

export const can = (right) => Boolean(current?.rights.includes(right));

// Why the one who is signed in may not do this; empty when they may.
export function reasonAgainst(right) {
  if (!right || can(right)) return "";
  return `This needs the role ${ROLES[right] ?? "of an administrator"}; yours is ${current?.role}.`;
}

// The tenant that the token is bound to, or null.
export const ownTenant = () => current?.tenant_id ?? null;

// Why a token of one tenant may not do what concerns all; empty for one that may.
export const reasonIfBound = () =>
  ownTenant() ? "This concerns all tenants; your token is bound to one." : "";
