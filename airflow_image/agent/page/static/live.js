// Reads an endpoint of the fleet repeatedly, while the page is visible.
import { React } from "./kit.js";

const GIVE_UP_AFTER_MS = 10_000;

export class Refused extends Error {
  constructor(status) {
    super(`HTTP ${status}`);
    this.status = status;
  }
}

async function read(path, signal) {
  // Relative to the page's base: Airflow may be served below a path. The browser sends the session's cookie.
  const answer = await fetch(new URL(`fleet/api/${path}`, document.baseURI), {
    headers: { Accept: "application/json" },
    signal: AbortSignal.any([signal, AbortSignal.timeout(GIVE_UP_AFTER_MS)]),
  });
  if (!answer.ok) throw new Refused(answer.status);
  return answer.json();
}

// {data, error}: the last reading, and the error of the last attempt if it failed. The last reading stays with an error.
export function useLive(path, everyMs) {
  const [live, setLive] = React.useState({ data: null, error: null });
  React.useEffect(() => {
    const ended = new AbortController();
    let timer;
    let busy = false;
    const tick = async () => {
      clearTimeout(timer);
      if (busy || document.hidden || ended.signal.aborted) return;
      busy = true;
      try {
        const data = await read(path, ended.signal);
        setLive({ data, error: null });
      } catch (error) {
        if (ended.signal.aborted) return;
        setLive((last) => ({ ...last, error }));
      } finally {
        busy = false;
      }
      if (!ended.signal.aborted) timer = setTimeout(tick, everyMs);
    };
    tick();
    document.addEventListener("visibilitychange", tick);
    return () => {
      ended.abort();
      clearTimeout(timer);
      document.removeEventListener("visibilitychange", tick);
    };
  }, [path, everyMs]);
  return live;
}
