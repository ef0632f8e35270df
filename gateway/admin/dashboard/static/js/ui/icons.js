// Pictures of one line weight, drawn for this dashboard on a grid of 24. They are decoration: text says the same.

import { s } from "../dom.js";

const PATHS = {
  alert: "M12 4 3 19.5h18L12 4Zm0 6v4.5m0 2.6v.1",
  back: "M15 5 8 12l7 7",
  bell: "M6 16.5V11a6 6 0 0 1 12 0v5.5l1.5 1.5h-15L6 16.5ZM10 20.5h4",
  broom: "M19 4 12.5 10.5M9 9.5l5.5 5.5-3 5-8-8 5.5-2.5ZM7 15l-2 2m5 1-1.5 1.5",
  building: "M5 20V5.5L13 4v16m0-11h6v11M3 20h18M8 8.5h2m-2 3.5h2m-2 3.5h2m6-3h.5m-.5 3.5h.5",
  check: "m5 12.5 4.5 4.5L19 7.5",
  clock: "M12 21a9 9 0 1 0 0-18 9 9 0 0 0 0 18Zm0-14v5l3.5 2",
  copy: "M9 9h10.5v11H9V9Zm-3.5 6H4.5V4H15v2",
  cross: "M6 6l12 12M18 6 6 18",
  down: "m6 9.5 6 6 6-6",
  download: "M12 4v11m-4.5-4.5L12 15l4.5-4.5M5 19.5h14",
  explain:
    "M12 21a9 9 0 1 0 0-18 9 9 0 0 0 0 18Zm-2.5-11a2.5 2.5 0 1 1 3.5 2.3c-.7.3-1 .8-1 1.7m0 2.5v.1",
  filter: "M4 6h16M7 12h10m-7 6h4",
  gauge: "M4.5 18a9 9 0 1 1 15 0M12 14l4-5m-4 6.5a1 1 0 1 0 0-2 1 1 0 0 0 0 2Z",
  half: "M12 21a9 9 0 1 0 0-18 9 9 0 0 0 0 18Zm0-18v18m0-14h5.5M12 11h8.5M12 15h8m-8 4h4",
  info: "M12 21a9 9 0 1 0 0-18 9 9 0 0 0 0 18Zm0-10v5.5m0-8.6v.1",
  key: "M15 14a5 5 0 1 0-4.7-3.3L4 17v3h3.5v-2.5H10V15l1.3-1.3A5 5 0 0 0 15 14Zm1-5.5h.1",
  keyring: "M8 14a4 4 0 1 1 3.8-5.2L20 9v3h-2.5v2.5H15V12h-3.2A4 4 0 0 1 8 14Zm-1-4h.1M4 19h16",
  limits: "M4 18h4v-5H4v5Zm6 0h4V9h-4v9Zm6 0h4V5h-4v13M3 21h18",
  lock: "M6 11h12v9H6v-9Zm2.5 0V8a3.5 3.5 0 0 1 7 0v3",
  menu: "M4 7h16M4 12h16M4 17h16",
  minus: "M5 12h14",
  moon: "M19.5 14.5A8 8 0 0 1 9.5 4.5a8 8 0 1 0 10 10Z",
  more: "M6 12h.01M12 12h.01M18 12h.01",
  next: "m9 5 7 7-7 7",
  out: "M10 5H5v14h5m4-3.5L17.5 12 14 8.5M9.5 12h8",
  pause: "M9 6v12m6-12v12",
  person: "M12 12a4 4 0 1 0 0-8 4 4 0 0 0 0 8Zm-7.5 8.5a7.5 7.5 0 0 1 15 0",
  play: "M8 5.5v13l10.5-6.5L8 5.5Z",
  plus: "M12 5v14M5 12h14",
  refresh: "M19.5 12a7.5 7.5 0 1 1-2.2-5.3M19.5 4v4h-4",
  rotate: "M4.5 11a7.5 7.5 0 0 1 13-4l2 2m0-4.5V9H15m4.5 4a7.5 7.5 0 0 1-13 4l-2-2m0 4.5V15H9",
  routes:
    "M6 7.5a2 2 0 1 0 0-4 2 2 0 0 0 0 4Zm0 0V14a4 4 0 0 0 4 4h6m2 2a2 2 0 1 0 0-4 2 2 0 0 0 0 4ZM6 10.5h6a4 4 0 0 0 4-4m2 0a2 2 0 1 0-4 0 2 2 0 0 0 4 0Z",
  scroll: "M7 4h10v16H7V4Zm3 4.5h4m-4 3.5h4m-4 3.5h2",
  search: "M10.5 17a6.5 6.5 0 1 0 0-13 6.5 6.5 0 0 0 0 13Zm5-1.5 5 5",
  shield: "M12 3.5 5 6v5.5c0 4.5 3 7.5 7 9 4-1.5 7-4.5 7-9V6l-7-2.5Zm-3 8.5 2.2 2.2L15.5 10",
  stop: "M12 21a9 9 0 1 0 0-18 9 9 0 0 0 0 18Zm-6.4-2.6L18.4 5.6",
  sun: "M12 16a4 4 0 1 0 0-8 4 4 0 0 0 0 8Zm0-13v2m0 14v2M3 12h2m14 0h2M5.6 5.6 7 7m10 10 1.4 1.4M5.6 18.4 7 17M17 7l1.4-1.4",
  trash: "M5 7h14M10 7V4.5h4V7m-7.5 0 1 13h9l1-13",
  up: "m6 14.5 6-6 6 6",
  warning: "M12 21a9 9 0 1 0 0-18 9 9 0 0 0 0 18Zm0-13.5v5.5m0 3v.1",
};

export const icon = (name) =>
  s(
    "svg.icon",
    { viewBox: "0 0 24 24", "aria-hidden": "true", focusable: "false" },
    s("path", { d: PATHS[name] ?? PATHS.more }),
  );

export const logo = () =>
  s(
    "svg.logo",
    { viewBox: "0 0 32 32", "aria-hidden": "true", focusable: "false" },
    s("rect", { width: 32, height: 32, rx: 7 }),
    s("path.arm", { d: "M8 26V11m0 2 17-5M5 26h22" }),
    s("path.band", { d: "m14.5 11.1 4-1.2" }),
  );
