// Which of the designed states the widget is in: one word, the most serious first.
import type { Progress } from "./protocol";
import type { RunSession } from "./run-session";
import type { SessionState } from "./session";

export function stateOf(session: RunSession): SessionState {
  const { channel, status } = session;
  if (!channel.usable) return channel.connection as SessionState;
  const picture = session.shown !== null;
  const asked = session.work !== null;
  if (channel.waiting && (asked || !picture)) return "waiting";
  const failed = status?.state === "failed" && status.error?.error !== "Cancelled";
  if (session.trouble || failed || session.pictureTrouble) return "failed";
  if (!session.question?.model && !session.question?.arrays && !asked) return "empty";
  if (!picture) return "loading";
  if (asked) return "running";
  if (session.drafted) return "changed";
  return "ready";
}

/** "35 of 56 layers · 0.4 s left", as far as it is known. */
export function progressText(progress: Progress | null, unit: string): string {
  if (!progress?.total) return "The kernel is computing.";
  const left = progress.seconds_left;
  const time = left == null ? "" : ` · ${left < 10 ? left.toFixed(1) : Math.round(left)} s left`;
  return `${progress.done} of ${progress.total} ${unit}${time}`;
}
