// What a widget knows that shows one picture of a run: which run is wanted, which picture is there or streams in, and
// whether that picture is still of what is asked.
import { BuffersMissing } from "./arrays";
import type { Partial, Reply } from "./channel";
import type { Params, Prompt, Provenance, Run } from "./protocol";
import { Session } from "./session";

export interface Picture {
  rev: number;
  run: Run;
  provenance: Provenance;
}
export type Side = "clean" | "corrupted";

export abstract class RunSession<P extends Picture = Picture> extends Session {
  /** The last whole picture. */
  picture: P | null = null;
  /** The one that streams in, once a part of it is there. */
  growing: P | null = null;
  /** The binary data of the picture did not arrive: why, in words. */
  pictureTrouble: string | null = null;
  /** What work that was cancelled leaves in view. */
  readonly leftWords: string = "The picture is from before.";
  /** What work is called that failed; null calls it by its run. */
  readonly failedWords: string | null = null;
  /** Work that was cancelled is gone on with, by a button of the picture's own. */
  readonly goesOn: boolean = false;
  run: Run = "clean";
  /** The trait that holds the picture, its topic, and the slot in which it is asked for. */
  protected abstract readonly topic: string;
  /** The op that computes it. */
  protected abstract readonly op: string;
  /** The last wish of this page that no picture has met; null when there is none. */
  #wish: object | null = null;

  /** The picture that a trait or a snapshot holds.
   *
   * @throws BuffersMissing when the host dropped its bytes.
   */
  protected abstract read(value: unknown, buffers: readonly unknown[]): P;
  /** Drops what a new picture has no place for. */
  protected renew(): void {}
  /** Lays a part that streams in into `growing`. */
  protected grow(_partial: Partial): void {}
  /** What the kernel is told of the picture that is wanted. */
  protected get wanted(): Params {
    return { run: this.run };
  }
  /** Is this picture the one that is wanted? */
  protected isWanted(picture: P): boolean {
    return picture.run === this.run;
  }
  /** Makes what a picture shows what is wanted. */
  protected adopt(picture: P): void {
    this.run = picture.run;
  }

  override start(): void {
    this.listen(`change:${this.topic}`, () => this.#readTrait());
    this.listen("change:status", () => {
      // Work that was cancelled or failed leaves half a picture: the last whole one is shown again.
      if (!this.work) this.growing = null;
    });
    this.#readTrait();
    super.start();
  }

  /** The picture to draw: the one that streams in once a part of it is there, else the last whole one. */
  get shown(): P | null {
    return this.growing ?? this.picture;
  }

  /** Is the picture of an older question or run than the one asked for? */
  get stale(): boolean {
    const { shown } = this;
    if (!shown) return false;
    return shown.rev < (this.question?.rev ?? 0) || !this.isWanted(shown) || this.drafted || this.asking;
  }

  #readTrait(): void {
    this.hold(this.topic);
    this.#take(this.model.get(this.topic));
  }

  protected override readSnapshot(
    snapshot: Record<string, Record<string, unknown>>,
    buffers: readonly unknown[],
  ) {
    this.#take(snapshot[this.topic], buffers);
  }

  #take(value: unknown, buffers: readonly unknown[] = []): void {
    const rev = (value as { rev?: unknown } | null | undefined)?.rev;
    if (typeof rev !== "number" || rev < (this.picture?.rev ?? 0)) return;
    try {
      const picture = this.read(value, buffers);
      const first = this.picture === null;
      this.picture = picture;
      this.pictureTrouble = null;
      if (this.growing && (this.growing.rev < rev || this.growing.run === picture.run)) this.growing = null;
      // Another view or Python may have chosen it; only what this page wishes for is waited for.
      if (first || this.#wish === null || this.isWanted(picture)) {
        this.adopt(picture);
        this.#wish = null;
      }
      this.renew();
    } catch (error) {
      if (!(error instanceof BuffersMissing)) throw error;
      this.pictureTrouble = error.message;
    }
    this.changed();
  }

  protected override onKernelPartial(partial: Partial): void {
    this.lay(partial);
    super.onKernelPartial(partial);
  }

  /** Takes a part of a picture that streams in. */
  protected lay(partial: Partial): void {
    const rev = Number(partial.data.rev ?? -1);
    if (rev < (this.picture?.rev ?? 0) || rev < (this.question?.rev ?? 0)) return;
    this.grow(partial);
    this.changed();
  }

  /** A run as people call it. */
  runLabel(run: Run): string {
    return run;
  }

  /** Why a run cannot be shown, or null when it can. */
  runReason(run: Run): string | null {
    const { question } = this;
    if (question?.arrays) return this.why("no-model");
    if (!question?.model) return "Nothing was asked yet.";
    if ((run === "corrupted" || run === "difference") && !question.prompts.corrupted)
      return this.why("no-corrupted");
    if (this.ofEdits(run) && !question.edits.some((edit) => edit.on)) return "No edit is switched on.";
    return run === this.run ? null : this.offReason;
  }

  setRun(run: Run): void {
    if (this.runReason(run) !== null || (run === this.run && !this.#wish)) return;
    this.run = run;
    this.wish();
  }

  /** Asks for the picture that is now wanted; when there is none, the one in view is what is wanted again. */
  protected wish(): void {
    const wish = {};
    this.#wish = wish;
    void this.#ask((partial) => this.lay(partial)).then((reply) => {
      if (reply.kind !== "done" && this.#wish === wish) {
        this.#wish = null;
        if (this.picture) this.adopt(this.picture);
        this.growing = null;
      }
      this.changed();
    });
  }

  /** Asks once more for the picture that is wanted, after work of the kernel's own failed. */
  rerun(): void {
    void this.#ask();
  }

  #ask(onPartial?: (partial: Partial) => void): Promise<Reply> {
    const { wanted, topic, run } = this;
    this.trouble = null;
    const options = { slot: topic, ...(onPartial && { onPartial }) };
    const pending = this.ask(this.op, () => wanted, options, this.failedWords ?? `The ${run} run failed`);
    this.changed();
    return pending.reply;
  }

  /** Shows the first of these runs that can be shown, or when one of them is shown the run without it.
   *
   * Returns why none can be, or null.
   */
  flip(...runs: Run[]): string | null {
    const back = this.ofEdits(this.run) ? (this.question?.base ?? "clean") : "clean";
    const reasons = runs.map((run) => this.runReason(run));
    const at = reasons.indexOf(null);
    if (runs.includes(this.run)) this.setRun(back);
    else if (at >= 0) this.setRun(runs[at] as Run);
    else return reasons.at(-1) ?? null;
    return null;
  }

  /** The prompt whose tokens label the picture. */
  get shownPrompt(): Prompt | null {
    const prompts = this.question?.prompts;
    return prompts ? (prompts[this.promptOf(this.shown?.run ?? this.run)] ?? prompts.clean) : null;
  }

  /** Does the run begin at the base and have the edits? */
  ofEdits(run: Run): boolean {
    return run === "edited" || run === "change";
  }

  promptOf(run: Run): Side {
    if (run === "corrupted") return run;
    return this.ofEdits(run) && this.question?.base === "corrupted" ? "corrupted" : "clean";
  }
}
