// Whether the page around the form is light or dark, for the theme "auto".

export type Scheme = "light" | "dark";

const PREFERS_DARK = "(prefers-color-scheme: dark)";

// A page that declares no scheme is light, whatever the payer's system prefers: the browser draws it so, and a frame of
// another scheme would get an opaque background. The computed value does not know the meta element.
export function pageScheme(element: Element): Scheme {
  let declared = getComputedStyle(element).colorScheme || "normal";
  if (declared === "normal") {
    declared = document.querySelector<HTMLMetaElement>("meta[name='color-scheme']")?.content ?? "";
  }
  const words = declared.toLowerCase().split(/\s+/);
  if (!words.includes("dark")) return "light";
  if (!words.includes("light")) return "dark";
  return matchMedia(PREFERS_DARK).matches ? "dark" : "light";
}

// Calls back at each change; returns what ends the watch. Pages switch by an attribute of html or body.
export function watchScheme(element: Element, changed: (scheme: Scheme) => void): () => void {
  let last = pageScheme(element);
  const look = () => {
    const now = pageScheme(element);
    if (now === last) return;
    last = now;
    changed(now);
  };
  const preference = matchMedia(PREFERS_DARK);
  const observer = new MutationObserver(look);
  preference.addEventListener("change", look);
  observer.observe(document.documentElement, { attributes: true });
  observer.observe(document.body, { attributes: true });
  return () => {
    preference.removeEventListener("change", look);
    observer.disconnect();
  };
}
