/* Start of a program on an emulated Cortex-M, and a count of the instructions that it has run.
 *
 * QEMU's -icount shift=0 lets an instruction take 1 ns; SysTick counts the machine's clock.
 */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

extern uint32_t stack_top, bss_start, bss_end;
extern int main(int argc, char **argv);
extern void initialise_monitor_handles(void); /* newlib's: files of the machine that emulates */
extern void __libc_init_array(void);

#define ARGUMENTS 16

#define SYSTICK_CONTROL (*(volatile uint32_t *)0xE000E010u)
#define SYSTICK_RELOAD (*(volatile uint32_t *)0xE000E014u)
#define SYSTICK_VALUE (*(volatile uint32_t *)0xE000E018u)
#define INTERRUPT_STATE (*(volatile uint32_t *)0xE000ED04u)
#define COPROCESSORS (*(volatile uint32_t *)0xE000ED88u)
#define PENDING (1u << 26)
#define LAST 0xFFFFFFu

static volatile uint32_t rounds;

static void count_round(void) { rounds++; }

static void stop(void) {
  for (;;) {
  }
}

/* Asks the emulator for the command line, and cuts it at spaces. */
static int read_arguments(char *text, uint32_t size, char **arguments) {
  const uint32_t block[2] = {(uint32_t)text, size};
  register uint32_t operation __asm__("r0") = 0x15;
  register const uint32_t *parameter __asm__("r1") = block;
  __asm__ volatile("bkpt 0xab" : "+r"(operation) : "r"(parameter) : "memory");
  int count = 0;
  if (operation != 0) {
    return -1; /* longer than `size` */
  }
  while (*text != 0) {
    if (count == ARGUMENTS) {
      return -1;
    }
    arguments[count++] = text;
    while (*text != 0 && *text != ' ') {
      text++;
    }
    while (*text == ' ') {
      *text++ = 0;
    }
  }
  return count;
}

static void reset(void) {
  static char text[1024];
  static char *arguments[ARGUMENTS + 1];
  for (uint32_t *to = &bss_start; to < &bss_end; to++) {
    *to = 0;
  }
  COPROCESSORS |= 0xFu << 20; /* floating point and vectors, where there are any */
  SYSTICK_RELOAD = LAST;
  SYSTICK_VALUE = 0;
  SYSTICK_CONTROL = 7;
  initialise_monitor_handles();
  __libc_init_array();
  const int count = read_arguments(text, sizeof text, arguments);
  if (count < 0) {
    puts("expected at most 15 images, in a command line of less than 1024 bytes");
    exit(1);
  }
  exit(main(count, arguments));
}

uint64_t instructions(void) {
  for (;;) {
    const uint32_t before = rounds;
    const uint32_t value = SYSTICK_VALUE;
    if (before == rounds && (INTERRUPT_STATE & PENDING) == 0) {
      return (((uint64_t)before << 24) + (LAST - value)) * NANOSECONDS_PER_100_TICKS / 100;
    }
  }
}

typedef struct {
  uint32_t *stack;
  void (*handlers[15])(void);
} table;

__attribute__((section(".vectors"), used)) static const table vectors = {
    &stack_top, {reset, stop, stop, stop, stop, stop, stop, 0, 0, 0, stop, stop, 0, stop, count_round}};

/* What newlib expects of the start files, which -nostartfiles leaves out. */
void _init(void) {}
void _fini(void) {}
