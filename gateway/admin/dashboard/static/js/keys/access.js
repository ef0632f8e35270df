// What a key may do, and where it may be used from.

import { patch } from "../api.js";
import { h, morph } from "../dom.js";
import { addressTest, AllowlistEditor } from "../allowlist.js";
import { actButton, card } from "../ui/parts.js";
import { told } from "./acts.js";
import { editScopes } from "./edit.js";

export function accessPart(root, key, { signal, refresh, keyId }) {
  let now = key;
  const scopes = h("div");
  const editor = h("div.stack");
  const test = h("div.stack");
  const showScopes = () => morph(scopes, [scopesOf(now)]);
  showScopes();
  root.replaceChildren(
    card(
      "Permissions",
      {
        actions: [
          actButton("Change", {
            right: "operate",
            disabled: key.state === "revoked" ? "The key is revoked." : "",
            onclick: async () => (await editScopes(now)) && refresh(),
          }),
        ],
      },
      scopes,
    ),
    card(
      "Addresses",
      { note: "Where the key may be used from; its tenant's list counts, too." },
      editor,
    ),
    card(
      "Test access",
      { note: "What the lists in force say to an address; without one, to yours." },
      test,
    ),
  );
  addressTest(test, () => ({ key_id: keyId }), signal);
  const list = new AllowlistEditor(editor, {
    subject: { key_id: keyId },
    entries: key.ip_allowlist,
    mode: key.ip_allowlist_mode,
    right: "operate",
    signal,
    save: async (changes) => {
      told("Saved", await patch(`/keys/${encodeURIComponent(keyId)}`, changes));
      refresh();
    },
  });
  return (fresh) => {
    now = fresh;
    showScopes();
    list.follow(fresh.ip_allowlist, fresh.ip_allowlist_mode);
  };
}

function scopesOf(key) {
  if (!key.scopes.length)
    return h("p.muted", "None: every route that needs a scope refuses this key.");
  return h(
    "ul.scope-tags",
    key.scopes.map((scope) => h("li", h("code.tag", scope))),
  );
}
