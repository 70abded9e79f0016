// The job whose function does not survive one of the samples.

import { minutes } from './minutes.ts';

export default minutes('throwing', (value) => {
  if (value === 666) throw new RangeError('no number for me');
});
