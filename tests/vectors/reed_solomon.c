/* Makes reed_solomon.json with ISA-L (Debian: libisal-dev 2.30.0):
 *
 *     cc reed_solomon.c -lisal -o /tmp/make && /tmp/make > reed_solomon.json
 */
#include <isa-l/erasure_code.h>
#include <stdio.h>
#include <stdlib.h>

static void print_code(int data_count, int parity_count, int size, const char *end) {
  int count = data_count + parity_count;
  unsigned char *data[256], *parity[256];
  unsigned char *matrix = malloc(count * data_count);
  unsigned char *tables = malloc(32 * data_count * parity_count);
  gf_gen_cauchy1_matrix(matrix, count, data_count);
  for (int s = 0; s < data_count; s++) {
    data[s] = malloc(size);
    for (int i = 0; i < size; i++) data[s][i] = 31 * s + 7 * i + i * i / 3;
  }
  for (int j = 0; j < parity_count; j++) parity[j] = malloc(size);
  ec_init_tables(data_count, parity_count, matrix + data_count * data_count, tables);
  ec_encode_data_base(size, data_count, parity_count, tables, data, parity);
  printf("  {\"dataCount\": %d, \"parityCount\": %d, \"size\": %d, \"parity\": [\n", data_count, parity_count, size);
  for (int j = 0; j < parity_count; j++) {
    printf("    \"");
    for (int i = 0; i < size; i++) printf("%02x", parity[j][i]);
    printf(j < parity_count - 1 ? "\",\n" : "\"\n");
  }
  printf("  ]}%s\n", end);
}

int main(void) {
  const int factors[][2] = {{2, 128}, {3, 7}, {0, 5}, {1, 255}, {23, 45}, {128, 128}, {255, 255}, {170, 85}, {142, 2}};
  const int elements[] = {1, 2, 3, 7, 128, 142, 255};
  printf("{\"products\": [");
  for (int i = 0; i < 9; i++) {
    int a = factors[i][0], b = factors[i][1];
    printf("%s[%d, %d, %d]", i ? ", " : "", a, b, gf_mul(a, b));
  }
  printf("],\n\"inverses\": [");
  for (int i = 0; i < 7; i++) printf("%s[%d, %d]", i ? ", " : "", elements[i], gf_inv(elements[i]));
  printf("],\n\"codes\": [\n");
  print_code(1, 2, 8, ",");
  print_code(4, 2, 16, ",");
  print_code(10, 5, 8, ",");
  print_code(228, 12, 4, ",");
  print_code(240, 16, 3, "");
  printf("]}\n");
}
