// Settings → Security → IP Whitelist: from where all keys of a tenant may be used, with one switch.

import { get } from "../api.js";
import { addressTest, AllowlistEditor } from "../allowlist.js";
import { h } from "../dom.js";
import { live } from "../live.js";
import { can, reasonAgainst, session } from "../session.js";
import { tenantChoice } from "../settings.js";
import { changeTenant } from "../tenants.js";
import { askAct } from "../ui/dialog.js";
import { toggle } from "../ui/form.js";
import { badge, card, empty, notice, pageHead } from "../ui/parts.js";
import { toastProblem } from "../ui/toast.js";

export default async function page(ctx) {
  const name = session().allowlist_name;
  const choice = h("div");
  const body = h("div.stack");
  ctx.title(name);
  ctx.show(
    pageHead(name, {
      crumbs: [["Settings"], ["Security"], [name]],
      lead: "For servers with static addresses: a key of this tenant is refused when it is used from anywhere else.",
    }),
    choice,
    body,
  );
  let leaving = new AbortController();
  ctx.signal.addEventListener("abort", () => leaving.abort());
  const show = (tenantId) => {
    leaving.abort();
    leaving = new AbortController();
    return about(body, tenantId, leaving.signal, name);
  };
  const chosen = await tenantChoice(ctx, choice, show);
  if (chosen) return show(chosen);
  body.replaceChildren(
    empty("No tenants yet", "An address list belongs to a tenant.", null, "building"),
  );
  return undefined;
}

function about(root, tenantId, signal, name) {
  const head = h("div");
  const editing = h("div.stack");
  const test = h("div.stack");
  root.replaceChildren(
    head,
    card("Addresses", null, editing),
    card(
      "Test access",
      { note: "What the list in force says to an address; without one, to yours." },
      test,
    ),
  );
  addressTest(test, () => ({ tenant_id: tenantId }), signal);
  let editor = null;
  const change = async (changes, what) => {
    try {
      await changeTenant(found.data, changes, what);
    } catch (error) {
      toastProblem(error);
    }
    await found.refresh();
  };
  const turn = async (tenant, isOn) => {
    if (isOn && !tenant.ip_allowlist.length) {
      await askAct({
        title: "The list is empty",
        label: "Understood",
        needsReason: false,
        text: "An empty list allows every address, also when it is switched on. Save some addresses first.",
        act: () => true,
      });
    } else if (isOn && tenant.ip_allowlist_mode === "enforce") {
      const text =
        "Requests from other addresses are refused from now on. Below, the page says whom that would hit.";
      if (
        await askAct({
          title: `Switch on the ${name}`,
          label: "Switch on",
          needsReason: false,
          text,
          act: () => true,
        })
      )
        return change({ ip_allowlist_enabled: true }, "Switched on");
    } else return change({ ip_allowlist_enabled: isOn }, isOn ? "Switched on" : "Switched off");
    return found.update();
  };
  const found = live(head, {
    signal,
    every: 10,
    load: (options) => get(`/tenants/${encodeURIComponent(tenantId)}`, {}, options),
    render: (tenant) => {
      if (!editor) {
        editor = new AllowlistEditor(editing, {
          subject: { tenant_id: tenantId },
          entries: tenant.ip_allowlist,
          mode: tenant.ip_allowlist_mode,
          right: "administer",
          signal,
          save: async (changes) => {
            await changeTenant(found.data, changes);
            await found.refresh();
          },
        });
      } else editor.follow(tenant.ip_allowlist, tenant.ip_allowlist_mode);
      return switchCard(tenant, turn, name);
    },
  });
  return found.first;
}

function switchCard(tenant, turn, name) {
  const isOn = tenant.ip_allowlist_enabled;
  const isShadow = tenant.ip_allowlist_mode === "shadow";
  return card(
    null,
    { key: "switch" },
    h(
      "div.row.spread",
      toggle(`${name} for ${tenant.name}`, isOn, (wanted) => turn(tenant, wanted), {
        disabled: !can("administer"),
        title: reasonAgainst("administer") || null,
      }),
      isOn
        ? isShadow
          ? badge("counts only (shadow mode)", "info")
          : badge("in force", "good")
        : badge("off: every address is allowed", "off"),
    ),
    isOn && !tenant.ip_allowlist.length
      ? notice("warn", h("p", "It is on, but the list is empty: every address is allowed."))
      : null,
  );
}
