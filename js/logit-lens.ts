// The entry of the LogitLens widget.
import { browserTimers } from "./lib/channel";
import { widgetModule } from "./lib/entry";
import { LensSession } from "./lib/lens-session";
import { renderWidget } from "./views/frame";
import { lens } from "./views/lens";

export default widgetModule(
  (model) => new LensSession(model, browserTimers),
  (session, el, signal) => renderWidget(lens, session, el, signal),
);
