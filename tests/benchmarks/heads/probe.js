// What a page of the benchmark notes by itself: when messages came and how large they were, how often a canvas was
// drawn on, how long the main thread was busy, and when what a cell shows was whole.
(() => {
  const probe = { keep: true, messages: [], drawn: 0, frames: [], stalls: [] };
  window.probe = probe;

  const context = CanvasRenderingContext2D.prototype;
  for (const name of ["putImageData", "drawImage", "fillRect", "clearRect", "fill", "stroke", "fillText"]) {
    const plain = context[name];
    context[name] = function (...args) {
      probe.drawn++;
      return plain.apply(this, args);
    };
  }

  const Plain = window.WebSocket;
  window.WebSocket = class extends Plain {
    constructor(...args) {
      super(...args);
      this.addEventListener("message", ({ data }) => {
        const bytes = data.byteLength ?? data.length;
        probe.messages.push({ at: performance.now(), bytes, data: probe.keep ? data : null });
      });
    }
  };

  new PerformanceObserver((list) => {
    for (const entry of list.getEntries()) probe.stalls.push({ at: entry.startTime, ms: entry.duration });
  }).observe({ entryTypes: ["longtask"] });

  /** Called after the frame that is being made: what it draws has been handed on then. */
  const afterFrame = (then) =>
    requestAnimationFrame(() => {
      const { port1, port2 } = new MessageChannel();
      port1.onmessage = then;
      port2.postMessage(null);
    });

  /** Runs a cell of the notebook in front; tells when what it shows was last changed once it was whole.
   *
   * `whole` and `drawn` are asked of the cell's output; the end is the second animation frame after the frame of the
   * last change, and `drawn` the first frame after which that was true.
   */
  probe.run = async (index, whole, drawn = whole, quiet = 1000) => {
    const notebook = window.jupyterapp.shell.currentWidget.content;
    const [isWhole, isDrawn] = [whole, drawn].map((asked) => new Function("node", `return ${asked};`));
    probe.messages = [];
    probe.stalls = [];
    notebook.deselectAll();
    notebook.activeCellIndex = index;
    const node = notebook.widgets[index].node.querySelector(".jp-Cell-outputWrapper");
    const elements = node.getElementsByTagName("*");
    const start = performance.now();
    window.jupyterapp.commands.execute("notebook:run-cell");
    return new Promise((resolve) => {
      let known = null;
      let changed = start;
      let drawnAt = null;
      let after = [];
      const look = () => {
        const now = performance.now();
        const state = `${elements.length} ${probe.drawn}`;
        if (drawnAt === null && isDrawn(node)) drawnAt = now;
        if (state !== known) {
          known = state;
          changed = now;
          after = [];
        } else after.push(now);
        if (after.length > 2 && now - changed > quiet && isWhole(node))
          resolve({ start, changed, drawn: drawnAt, end: after[1], elements: elements.length });
        else afterFrame(look);
      };
      afterFrame(look);
    });
  };

  /** Resolves when for so many ms no message has come and nothing was drawn. */
  probe.rest = (quiet = 300) =>
    new Promise((resolve) => {
      let known = null;
      let changed = 0;
      const look = () => {
        const now = performance.now();
        const state = `${probe.messages.length} ${probe.drawn}`;
        if (state !== known) [known, changed] = [state, now];
        if (now - changed > quiet) resolve();
        else afterFrame(look);
      };
      look();
    });

  /** Notes the time of every animation frame until it is told to stop. */
  probe.watchFrames = () => {
    probe.frames = [];
    probe.stalls = [];
    probe.watching = true;
    const note = (at) => {
      probe.frames.push(at);
      if (probe.watching) requestAnimationFrame(note);
    };
    requestAnimationFrame(note);
  };

  /** The messages noted so far, their bytes in base64 where they were kept. */
  probe.told = () =>
    Promise.all(
      probe.messages.map(async ({ at, bytes, data }) => {
        if (!(data instanceof ArrayBuffer)) return { at, bytes, text: typeof data === "string" ? data : null };
        const address = await new Promise((resolve) => {
          const reader = new FileReader();
          reader.onload = () => resolve(reader.result);
          reader.readAsDataURL(new Blob([data]));
        });
        return { at, bytes, base64: address.slice(address.indexOf(",") + 1) };
      }),
    );
})();
