// The script of the hosted page.

import { start } from "./start";

start(window);
