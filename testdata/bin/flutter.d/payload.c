// payload PREFIX BYTES: writes PREFIX-1.bin, PREFIX-2.bin, ... of 32 MB each, BYTES in all, which do not compress and are
// always the same.
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

enum { PART = 32000000 };

int main(int argc, char **argv) {
  static uint64_t block[8192];
  uint64_t state = 0x9e3779b97f4a7c15;
  if (argc != 3) return 64;
  long left = atol(argv[2]);
  for (int part = 1; left > 0; part++) {
    char name[4096];
    snprintf(name, sizeof name, "%s-%d.bin", argv[1], part);
    FILE *f = fopen(name, "wb");
    if (!f) return perror(name), 1;
    for (long want = left < PART ? left : PART; want > 0;) {
      for (size_t i = 0; i < sizeof block / sizeof *block; i++) {  // xorshift64*, Marsaglia and Vigna
        state ^= state >> 12, state ^= state << 25, state ^= state >> 27;
        block[i] = state * 0x2545f4914f6cdd1d;
      }
      long n = want < (long)sizeof block ? want : (long)sizeof block;
      if (fwrite(block, 1, n, f) != (size_t)n) return perror(name), 1;
      want -= n, left -= n;
    }
    if (fclose(f) != 0) return perror(name), 1;
  }
  return 0;
}
