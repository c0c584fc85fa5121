// The entry of the PatchBoard widget.
import { BoardSession } from "./lib/board-session";
import { browserTimers } from "./lib/channel";
import { widgetModule } from "./lib/entry";
import { board } from "./views/board";
import { renderWidget } from "./views/frame";

export default widgetModule(
  (model) => new BoardSession(model, browserTimers),
  (session, el, signal) => renderWidget(board, session, el, signal),
);
