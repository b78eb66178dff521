// The dialog's look. In a shadow root with a constructed sheet: the page's styles do not reach it, and a page whose
// policy forbids inline styles still shows it. Nothing moves, so there is no motion to reduce.

export const STYLE = `
:host{all:initial}
*{box-sizing:border-box}
dialog{position:fixed;inset:0;margin:auto;padding:0;border:0;width:min(37.5rem,100vw);height:min(43.75rem,100dvh);
max-width:none;max-height:none;border-radius:.75rem;overflow:hidden;flex-direction:column;
color-scheme:light;background:#fff;color:#1a1f29;font:16px/1.5 system-ui,sans-serif;box-shadow:0 1rem 3rem #0006}
dialog[open]{display:flex}
dialog::backdrop{background:#0b1220a6}
dialog.dark{color-scheme:dark;background:#1a1f29;color:#f2f4f8}
header{display:flex;align-items:center;gap:.5rem;padding-block:.25rem;padding-inline:1rem .25rem}
h2{flex:1;margin:0;font-size:1rem;font-weight:600;overflow-wrap:anywhere}
button{font:inherit;color:inherit;background:none;border:1px solid;border-radius:.5rem;min-width:44px;min-height:44px;
padding:.5rem 1rem;cursor:pointer}
button:focus-visible{outline:3px solid #2f6fed;outline-offset:-3px}
header button{border-color:transparent;padding:0;font-size:1.5rem;line-height:1}
.close:before{content:"\\d7"}
iframe{flex:1;width:100%;min-height:0;border:0;background:#fff}
section{padding:1rem;border-top:1px solid #8888}
section[hidden]{display:none}
p{margin:0 0 .75rem;overflow-wrap:anywhere}
section div{display:flex;flex-wrap:wrap;gap:.5rem}
.stay{background:#1d4ed8;border-color:#1d4ed8;color:#fff}
.stay:focus-visible{outline-offset:2px}
@media(max-width:37.5rem){dialog{border-radius:0}}
`;
