/* Comes to the end that the command line's first letter names. */
#include "guest.h"

enum { NO_MEMORY = 0xd0000000 };

void bare_main(const uint32_t *start_info)
{
    serial_init();
    put_text("begun\n");
    switch (command_line(start_info)[0]) {
    case 'h':                   /* sleeps, and nothing can wake it */
        __asm__ volatile("cli; hlt");
        break;
    case 'l':                   /* never comes out by itself */
        __asm__ volatile("1: jmp 1b");
        break;
    case 'r':                   /* i8042 */
        outb(0x64, 0xfe);
        break;
    case 'p':                   /* PC/AT reset control */
        outb(0xcf9, 6);
        break;
    case 'd':                   /* isa-debug-exit */
        outl(0xf4, 42);
        break;
    case 'x':                   /* runs where there is no memory */
        __asm__ volatile("jmp *%0" : : "r"(NO_MEMORY));
        break;
    case 'c':                   /* counts how often it read a port */
        __asm__ volatile("1: inb $0x84, %%al; incl %%ecx; jmp 1b" : : "c"(0) : "eax");
        break;
    }
    for (;;)                    /* 't' and the rest: a triple fault */
        bare_end();
}
