/**
 * Who waits for whom, worked out a second time: actors that take atomic steps, as the documents list them, each step
 * enabled by a condition. Shares nothing with the implementation.
 *
 * Source: vfio-dmabuf 7.4
 */

/** What must hold before an actor's next step. */
export interface Wait {
  ready(): boolean;
  /** The step begins. */
  enter?(who: Actor): void;
  /** What somebody must do, if nobody holds it. */
  readonly says: () => string;
  readonly holder?: Actor | undefined;
}

export type Steps<T = void> = Generator<Wait, T, void>;

/** One who makes a call, or works in the kernel. */
export class Actor {
  readonly name: string;
  readonly steps: Steps<string>;
  wants: Wait | undefined;
  /** What it does when its call is done: the release of what it held last. */
  readonly owes: (() => Steps)[] = [];

  constructor(name: string, steps: Steps<string>) {
    this.name = name;
    this.steps = steps;
  }
}

/** One holder at a time. */
export class Lock implements Wait {
  readonly name: string;
  holder: Actor | undefined;

  constructor(name: string) {
    this.name = name;
  }

  ready(): boolean {
    return this.holder === undefined;
  }

  enter(who: Actor): void {
    this.holder = who;
  }

  release(): void {
    this.holder = undefined;
  }

  says(): string {
    return this.name;
  }
}

/** All actors, run as the threads are run: always the first who can, counted round from one of them. */
export class Stage {
  readonly actors: Actor[] = [];
  /** Whoever acts now. */
  me!: Actor;
  readonly #begun: Actor[] = [];

  start(name: string, steps: Steps<string>): void {
    this.actors.push(new Actor(name, this.#whole(steps)));
  }

  /** An actor that nobody called: it begins when whoever acts now has come as far as it goes. */
  begin(name: string, steps: Steps<string>): void {
    this.#begun.push(new Actor(name, this.#whole(steps)));
  }

  *#whole(steps: Steps<string>): Steps<string> {
    const answer = yield* steps;
    for (let owed = this.me.owes.shift(); owed !== undefined; owed = this.me.owes.shift()) yield* owed();
    return answer;
  }

  settle(first: number): { readonly name: string; readonly answer: string }[] {
    const ended: { name: string; answer: string }[] = [];
    for (let actor = this.#next(first); actor !== undefined; actor = this.#next(first)) {
      const answer = this.#run(actor);
      if (answer !== undefined) {
        this.actors.splice(this.actors.indexOf(actor), 1);
        ended.push({ name: actor.name, answer });
      }
      this.actors.push(...this.#begun.splice(0));
    }
    return ended;
  }

  #run(actor: Actor): string | undefined {
    this.me = actor;
    while (actor.wants?.ready() ?? true) {
      actor.wants?.enter?.(actor);
      const at = actor.steps.next();
      if (at.done === true) return at.value;
      actor.wants = at.value;
    }
    return undefined;
  }

  #next(first: number): Actor | undefined {
    const { length } = this.actors;
    const round = this.actors.map((_, i) => this.actors[(first + i) % length] as Actor);
    return round.find(({ wants }) => wants?.ready() ?? true);
  }

  /** A line for each who waits: for what, who has that, and what that one waits for in turn. */
  blame(): string[] {
    return this.actors.map((actor) => `${actor.name} ${why(actor)}`);
  }
}

function why({ wants }: Actor): string {
  if (wants?.holder === undefined) return `waits for ${wants?.says()}`;
  return `waits for ${wants.says()}, held by ${wants.holder.name}, which ${why(wants.holder)}`;
}
