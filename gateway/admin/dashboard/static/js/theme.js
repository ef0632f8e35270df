// Before anything is painted: the theme that was chosen here, if one was. A classic script, so that it runs in time.
(function () {
  try {
    const theme = localStorage.getItem("tollhouse.theme");
    if (theme === "light" || theme === "dark") document.documentElement.dataset.theme = theme;
  } catch {
    // Storage is switched off: the system's theme it is.
  }
})();
