// A part of a page that loads, says when that fails, and refreshes by itself while somebody looks at it.
//
// One request at a time; none while the page is hidden; after a failure the pauses double, up to a minute.

import { isAborted } from "./api.js";
import { morph, nodes } from "./dom.js";
import { problemBox, skeleton, staleNote } from "./ui/parts.js";

const LONGEST_SECONDS = 60;

// Options: `load(options)` returns what is shown (`options` go to the API call: they carry the signal); `render(data)`
// returns the nodes; `every` are the seconds between refreshes, 0 for none. Returns `{refresh, update, data}`.
export function live(container, { load, render, every = 10, signal, placeholder = skeleton }) {
  let data;
  let hasLoaded = false;
  let failure = null;
  let failures = 0;
  let timer = 0;
  let running = null;
  let isStale = false;

  const show = () => {
    if (signal.aborted) return;
    if (!hasLoaded)
      morph(container, nodes(failure ? problemBox(failure, () => refresh()) : placeholder()));
    else
      morph(container, nodes([failure ? staleNote(failure, () => refresh()) : null, render(data)]));
  };

  const schedule = () => {
    clearTimeout(timer);
    if (!every || signal.aborted || document.hidden) return;
    const pause = Math.min(LONGEST_SECONDS, every * 2 ** failures);
    timer = setTimeout(() => run(true), Math.max(pause, every) * 1000);
  };

  const run = async (refresh) => {
    clearTimeout(timer);
    try {
      const found = await load({ signal, refresh });
      if (signal.aborted) return;
      data = found;
      [hasLoaded, failure, failures, isStale] = [true, null, 0, false];
      show();
    } catch (error) {
      if (isAborted(error) || signal.aborted) return;
      if (error.status === undefined) console.error(error);
      [failure, failures] = [error, failures + 1];
      show();
    }
    schedule();
  };

  // Loads again now; several calls at once are one, and the last one counts.
  const refresh = async () => {
    if (running) {
      isStale = true;
      await running;
      if (!isStale) return;
    }
    running = run(false).finally(() => (running = null));
    await running;
  };

  const onVisible = () => {
    if (document.hidden) clearTimeout(timer);
    else if (hasLoaded && every) run(true);
  };
  document.addEventListener("visibilitychange", onVisible, { signal });
  signal.addEventListener("abort", () => clearTimeout(timer), { once: true });

  show();
  const first = refresh();
  return {
    refresh,
    update: () => hasLoaded && show(),
    first,
    get data() {
      return data;
    },
  };
}
