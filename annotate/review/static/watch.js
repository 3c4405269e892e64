// What happens elsewhere: other tabs, and the server.

import { banner, lostToken, offline, otherSettings, warnElsewhere } from "./messages.js";
import { reloadQueue } from "./navigation.js";
import { outbox } from "./outbox.js";
import { Refused, call } from "./server.js";
import { state } from "./state.js";

const ALIVE_MS = 2500;

/** Tell other tabs of this run that there are two. */
export function watchTabs() {
  const channel = new BroadcastChannel(`review:${state.about.session}`);
  const warn = () =>
    banner("tabs", "This review is open in another tab too. What one tab writes, the other does not see until it is reloaded; it cannot overwrite it.", [
      ["I know", () => banner("tabs")],
    ]);
  channel.onmessage = ({ data }) => {
    warn();
    if (data === "opened") channel.postMessage("here too");
  };
  channel.postMessage("opened");
}

async function watchServer() {
  try {
    const { session, seq } = await call("api/alive");
    banner("offline");
    banner("token");
    if (session !== state.about.session) {
      otherSettings();
    } else if (seq > state.seq && !outbox.entries.length) warnElsewhere(reloadQueue);
  } catch (error) {
    if (error instanceof Refused) lostToken(error.message);
    else offline();
  }
  watchServerSoon();
}

/** Look whether the server is there, again and again. */
export function watchServerSoon() {
  setTimeout(watchServer, ALIVE_MS);
}
