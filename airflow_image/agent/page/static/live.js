// Reads an endpoint of the fleet again and again, for as long as somebody looks.
import { React } from "./kit.js";

const GIVE_UP_AFTER_MS = 10_000;

export class Refused extends Error {
  constructor(status) {
    super(`HTTP ${status}`);
    this.status = status;
  }
}

async function read(path, signal) {
  // Relative to the page's base: Airflow may live below a path of its own. The session's cookie comes along.
  const answer = await fetch(new URL(`fleet/api/${path}`, document.baseURI), {
    headers: { Accept: "application/json" },
    signal: AbortSignal.any([signal, AbortSignal.timeout(GIVE_UP_AFTER_MS)]),
  });
  if (!answer.ok) throw new Refused(answer.status);
  return answer.json();
}

// {data, error}: what was read last, and why the last attempt failed, if it did. Old data stays, with the error.
export function useLive(path, everyMs) {
  const [live, setLive] = React.useState({ data: null, error: null });
  React.useEffect(() => {
    const ended = new AbortController();
    let timer;
    let busy = false;
    const look = async () => {
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
      if (!ended.signal.aborted) timer = setTimeout(look, everyMs);
    };
    look();
    document.addEventListener("visibilitychange", look);
    return () => {
      ended.abort();
      clearTimeout(timer);
      document.removeEventListener("visibilitychange", look);
    };
  }, [path, everyMs]);
  return live;
}
