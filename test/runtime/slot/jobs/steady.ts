// The job that nothing is wrong with.

import { minutes } from './minutes.ts';

export default minutes('steady', () => {});
