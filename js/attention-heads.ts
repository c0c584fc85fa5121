// The entry of the AttentionHeads widget.
import { browserTimers } from "./lib/channel";
import { widgetModule } from "./lib/entry";
import { HeadsSession } from "./lib/heads-session";
import { renderWidget } from "./views/frame";
import { heads } from "./views/heads";

export default widgetModule(
  (model) => new HeadsSession(model, browserTimers),
  (session, el, signal) => renderWidget(heads, session, el, signal),
);
