import { ChildSession } from "./child-session";

// A process that owns a child and its spare, for tests of what becomes of them. Says their ids, then does nothing.
const session = new ChildSession({ spare: true });
void (async () => {
  await session.child.ready;
  await session.until(() => session.child.pids.spare !== undefined, "the spare");
  session.start("while (true) {}");
  console.log(JSON.stringify(session.child.pids));
})();
