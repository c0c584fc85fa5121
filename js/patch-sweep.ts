// The entry of the PatchSweep widget.
import { browserTimers } from "./lib/channel";
import { widgetModule } from "./lib/entry";
import { SweepSession } from "./lib/sweep-session";
import { renderWidget } from "./views/frame";
import { sweep } from "./views/sweep";

export default widgetModule(
  (model) => new SweepSession(model, browserTimers),
  (session, el, signal) => renderWidget(sweep, session, el, signal),
);
