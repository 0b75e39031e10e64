/**
 * What the kernel's two processes say to each other: the parent, which speaks Jupyter's protocol, and the child, which runs
 * the cells. Requests go over Node's IPC channel; everything from the child over file descriptor 3, one JSON object a
 * line, written synchronously, so that it arrives in order, at once and also when the child dies right after.
 */

/** Data by MIME type, and metadata, as in `display_data`. */
export interface Bundle {
  data: Record<string, unknown>;
  metadata: Record<string, unknown>;
}

export interface Failure {
  ename: string;
  evalue: string;
  /** Lines for a reader, the cell's own among them. */
  traceback: string[];
}

/**
 * Either way: what one end of a comm tells the other. `buffers` are binary frames in base64, absent where there are none.
 * What the handler of a client's message prints, displays or answers carries that message's `id`, as in a cell.
 */
export type CommMessage =
  | {
      type: "commOpen";
      id: string;
      commId: string;
      target: string;
      data: unknown;
      metadata: unknown;
      buffers?: string[];
    }
  | { type: "commMessage"; id: string; commId: string; data: unknown; metadata: unknown; buffers?: string[] }
  | { type: "commClose"; id: string; commId: string; data: unknown; metadata: unknown; buffers?: string[] };

/** Parent to child. `id` comes back with all that the request leads to. */
export type ToChild =
  | {
      type: "execute";
      id: string;
      code: string;
      /** The number in In [ ]. */
      count: number;
      silent: boolean;
      allowStdin: boolean;
      userExpressions: Record<string, string>;
    }
  /** `cursor` counts UTF-16 units; the parent converts from the protocol's code points, and back. */
  | { type: "complete"; id: string; code: string; cursor: number }
  | { type: "inspect"; id: string; code: string; cursor: number; detail: number }
  | { type: "isComplete"; id: string; code: string }
  /** What the user typed in answer to `inputRequest`. */
  | { type: "input"; id: string; value: string }
  | CommMessage;

/** Child to parent. */
export type ToParent =
  /** It takes requests. */
  | { type: "ready" }
  | { type: "stream"; id: string; name: "stdout" | "stderr"; text: string }
  | ({ type: "display"; id: string; displayId?: string; update: boolean } & Bundle)
  | { type: "clear"; id: string; wait: boolean }
  | ({ type: "result"; id: string } & Bundle)
  | { type: "inputRequest"; id: string; prompt: string; password: boolean }
  /**
   * What the request has started (a timer, an event's listener, a promise that nobody awaits) failed, and no code handled
   * it: while the request runs, which goes on, or after its end.
   */
  | { type: "error"; id: string; failure: Failure }
  /** The request is over; for `execute` all of its output has come before. */
  | {
      type: "done";
      id: string;
      failure?: Failure;
      userExpressions?: Record<string, unknown>;
    }
  /** The content of the reply to `complete`, `inspect`, `isComplete`, without `status`; offsets in UTF-16 units. */
  | { type: "reply"; id: string; content: Record<string, unknown> }
  | CommMessage;
