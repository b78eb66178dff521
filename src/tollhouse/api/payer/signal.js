// In a frame: tell the payer's page, wherever above it is; only windows of our own origin get the message.
// In a window of its own: go there.
(function () {
  "use strict";
  var above = window;
  // Where the browser tells whose windows are above, only our own get it; elsewhere the others would be told nothing.
  var origins = location.ancestorOrigins || [];
  for (var depth = 0; above !== above.parent; depth += 1) {
    above = above.parent;
    if (origins[depth] && origins[depth] !== location.origin) continue;
    above.postMessage({ tollhouse: document.body.getAttribute("data-step") }, location.origin);
  }
  if (above === window) location.replace(document.getElementById("onward").href);
})();
