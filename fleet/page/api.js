// The way to the server: requests with the token as a header, and the events.

const TOKEN = "hltmode-token";
const WHO = "hltmode-who";

export class Refused extends Error {
  constructor(status, words) {
    super(words);
    this.status = status;
  }
}

// Token and name are kept for this tab only, and never in an address.
export const operator = {
  token: () => sessionStorage.getItem(TOKEN) ?? "",
  who: () => sessionStorage.getItem(WHO) ?? "",
  set(token, who) {
    sessionStorage.setItem(TOKEN, token);
    sessionStorage.setItem(WHO, who);
  },
  forget: () => sessionStorage.removeItem(TOKEN),
};

export async function ask(method, path, body) {
  const headers = {};
  if (operator.token()) headers.Authorization = `Bearer ${operator.token()}`;
  if (body !== undefined) headers["Content-Type"] = "application/json";
  let response;
  try {
    response = await fetch(path, { method, headers, body: body === undefined ? undefined : JSON.stringify(body) });
  } catch {
    throw new Refused(0, "the server does not answer");
  }
  const answer = await response.json().catch(() => ({ error: `status ${response.status}` }));
  if (!response.ok) throw new Refused(response.status, answer.error);
  return answer;
}

// Calls `on[kind](data)` for each event after `after`. A line that breaks is taken up again by the browser where it
// broke; `on.lost` is called when that can't be, and everything must be loaded anew.
export function listen(after, on) {
  const source = new EventSource(`/events?after=${encodeURIComponent(after)}`);
  for (const kind of ["nodes", "operations", "switchovers"]) {
    source.addEventListener(kind, (event) => on[kind](JSON.parse(event.data)));
  }
  const lost = () => {
    source.close();
    on.lost();
  };
  source.addEventListener("reload", lost);
  source.addEventListener("open", () => on.line(true));
  source.addEventListener("error", () => {
    on.line(false);
    if (source.readyState === EventSource.CLOSED) setTimeout(lost, 3000);
  });
}
