// The entry of the Workbench widget: one bundle that contains the views.
import { browserTimers } from "./lib/channel";
import { widgetModule } from "./lib/entry";
import { WorkbenchSession } from "./lib/workbench-session";
import { renderWidget } from "./views/frame";
import { workbench } from "./views/workbench";

export default widgetModule(
  (model) => new WorkbenchSession(model, browserTimers),
  (session, el, signal) => renderWidget(workbench, session, el, signal),
);
