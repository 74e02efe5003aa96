// The program that precompiled headers of tests are made with; nobody runs it.
int main() { return 0; }
