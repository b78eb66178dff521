// In a frame: tell the payer's page, wherever above it is; only windows of our own origin get the message.
// In a window of its own: go there.
(function () {
  "use strict";
  var above = window;
  while (above !== above.parent) {
    above = above.parent;
    above.postMessage({ tollhouse: document.body.getAttribute("data-step") }, location.origin);
  }
  if (above === window) location.replace(document.getElementById("onward").href);
})();
