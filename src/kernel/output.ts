import type { Outgoing, Sockets } from "./sockets";
import type { MessageHeader } from "./wire";

/** The two streams of a cell. */
export type StreamName = "stdout" | "stderr";

/**
 * What the kernel broadcasts. Text that a cell prints is joined into few messages: text of one stream of one cell is held
 * for a moment and sent as one, before anything else that is broadcast, so that no message overtakes another.
 */
export class Iopub {
  private parent: MessageHeader | undefined;
  private name: StreamName = "stdout";
  private parts: string[] = [];
  private length = 0;
  private timer: NodeJS.Timeout | undefined;

  /**
   * @param delay milliseconds that text is held at most while this process is not busy.
   * @param limit UTF-16 units that are held at most; more text goes out at once.
   */
  constructor(
    private readonly sockets: Pick<Sockets, "publish">,
    private readonly delay = 50,
    private readonly limit = 256 * 1024,
  ) {}

  /** Text of the request `parent`, which is the same object each time. */
  stream(parent: MessageHeader | undefined, name: StreamName, text: string): void {
    if (text === "") return;
    if (this.parent !== parent || this.name !== name) this.flush();
    this.parent = parent;
    this.name = name;
    this.parts.push(text);
    this.length += text.length;
    if (this.length >= this.limit) this.flush();
    else this.timer ??= setTimeout(() => this.flush(), this.delay);
  }

  /** Anything but streams. */
  publish(type: string, content: Record<string, unknown>, outgoing: Outgoing): void {
    this.flush();
    this.sockets.publish(type, content, outgoing);
  }

  /** Sends the text that is held. */
  flush(): void {
    clearTimeout(this.timer);
    this.timer = undefined;
    if (this.parts.length === 0) return;
    const text = this.parts.join("");
    this.parts = [];
    this.length = 0;
    this.sockets.publish("stream", { name: this.name, text }, { parent: this.parent });
  }
}
