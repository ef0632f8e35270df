// What many pages need to know and what changes rarely: tenants, templates, and what keys can be given.
//
// Each is asked for once in a minute at most.

import { all, get, optional } from "./api.js";

const KEPT_MILLISECONDS = 60_000;
const TENANTS_MAX = 1000;
const kept = new Map();

function once(name, load) {
  const known = kept.get(name);
  if (known && Date.now() - known.at < KEPT_MILLISECONDS) return known.promise;
  const promise = load();
  kept.set(name, { at: Date.now(), promise });
  promise.catch(() => kept.delete(name));
  return promise;
}

// Forgets, after something was changed or somebody else signed in.
export const forgetKnown = () => kept.clear();

const NOTHING = { scopes: [], bundles: [], plans: [], environments: [], formats: [] };

export const catalog = () => once("catalog", () => optional(get("/catalog"), NOTHING));
export const templates = () => once("templates", async () => (await get("/templates")).data);

// Up to a thousand tenants, by id.
export const tenants = () =>
  once("tenants", async () => {
    const found = await all("/tenants", {}, { max: TENANTS_MAX });
    return new Map(found.map((each) => [each.tenant_id, each]));
  });

export const tenantName = (known, tenantId) => known.get(tenantId)?.name ?? tenantId;

// Pairs for a `select` or a `suggest`, by name.
export const tenantOptions = (known) =>
  [...known.values()]
    .sort((a, b) => a.name.localeCompare(b.name))
    .map((each) => [
      each.tenant_id,
      each.name === each.tenant_id ? each.name : `${each.name} (${each.tenant_id})`,
    ]);
