// Names for the ids that figures are grouped by.

import { get, optional } from "../api.js";

// Returns the names of the keys of these rows, by id; a key that is gone, or out of reach, has none.
export async function namesOf(rows, options) {
  const ids = [...new Set((rows ?? []).map((row) => row.key_id).filter(Boolean))];
  const found = await Promise.all(
    ids.map((id) => optional(get(`/keys/${encodeURIComponent(id)}`, {}, options))),
  );
  return new Map(found.filter(Boolean).map((key) => [key.key_id, key.name]));
}
