import type { Failure, ToChild, ToParent } from "./messages";

/** What a request to the child came to; `failure` when it failed, or when the child died of it. */
export interface Outcome {
  failure?: Failure;
  userExpressions?: Record<string, unknown>;
  /** For language requests. */
  content?: Record<string, unknown>;
}

/** The messages that the child answers, without their ids. */
type Asked = Extract<ToChild, { type: "execute" | "complete" | "inspect" | "isComplete" }>;

/** The requests that the child has yet to answer. */
export class ChildRequests {
  private readonly open = new Map<string, (outcome: Outcome) => void>();
  private count = 0;
  /** Why there is no child any more; undefined while there is one, or one is on its way. */
  private gone: Failure | undefined;

  constructor(private readonly send: (message: ToChild) => void) {}

  /** An id that no other request of this process has: a letter and a number that grows, by which the child tells their order. */
  newId(): string {
    return `r${++this.count}`;
  }

  /** Sends a request and waits until it is over; does not reject. */
  ask(message: Asked): Promise<Outcome> {
    if (this.gone) return Promise.resolve({ failure: this.gone });
    return new Promise((resolve) => {
      this.open.set(message.id, resolve);
      try {
        this.send(message);
      } catch (error) {
        this.open.delete(message.id);
        const { name, message: text } = error as Error;
        resolve({ failure: { ename: name, evalue: text, traceback: [`${name}: ${text}`] } });
      }
    });
  }

  /** Takes an answer of the child. One to a request that is over already says nothing new. */
  settle(message: Extract<ToParent, { type: "done" | "reply" }>): void {
    const resolve = this.open.get(message.id);
    this.open.delete(message.id);
    if (message.type === "reply") resolve?.({ content: message.content });
    else resolve?.({ failure: message.failure, userExpressions: message.userExpressions });
  }

  /** Ends all requests by `failure`; when no other child comes, those to come as well. */
  failAll(failure: Failure, restarted: boolean): void {
    this.gone = restarted ? undefined : failure;
    const resolves = [...this.open.values()];
    this.open.clear();
    for (const resolve of resolves) resolve({ failure });
  }
}
