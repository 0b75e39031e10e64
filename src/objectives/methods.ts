import { branches, type Method } from "./method";
import * as roster from "./roster";

/** The descriptions among what the methods' files export, by their names. */
type Roster = {
  [K in keyof typeof roster as (typeof roster)[K] extends { name: K; branch: string } ? K : never]: (typeof roster)[K];
};
export type MethodName = keyof Roster;

/** Every method of the course, branch by branch as the lecture's taxonomy has them, the older first. */
export const allMethods: readonly (Method & { name: MethodName })[] = Object.values(roster as Record<string, unknown>)
  .filter(isMethod)
  .sort((a, b) => place(a).localeCompare(place(b))) as never;

/** The same by name. */
export const methods = Object.fromEntries(allMethods.map((one) => [one.name, one])) as unknown as Roster;

function place({ branch, published, name }: Method): string {
  return `${branches.indexOf(branch)} ${published} ${name}`;
}

function isMethod(one: unknown): one is Method {
  return typeof one === "object" && one !== null && "branch" in one && "gradientCases" in one;
}
